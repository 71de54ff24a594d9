//! Differences as operations that make the first hive like the second one.

use std::sync::Arc;

use super::{CompareOptions, Comparison, Damage, Difference, Side, What, compare};
use crate::reg_text::{Change, RegKey, RegOperation};
use crate::regf::name::Name;
use crate::security_descriptor::SecurityDescriptor;
use crate::{HiveBytes, Key, Value};
use hivewright_error::Error;

/// A difference that no operation expresses.
#[derive(Debug)]
pub enum NotCarried<'a, 'b, A, B> {
    /// Registration files have no class names, security descriptors and times; and nothing is deleted or created for an
    /// uncertain difference.
    Difference(Box<Difference<'a, 'b, A, B>>),
    /// The class name of a key that is created.
    ClassOfNewKey {
        /// The key.
        key: Arc<RegKey>,
    },
    /// The security descriptor of a key that is created is not the one that it inherits.
    SecurityOfNewKey {
        /// The key.
        key: Arc<RegKey>,
    },
    /// A part of a hive cannot be read.
    Damage(Damage),
}

/// The operations that make one hive like another: see [`operations`].
#[derive(Debug)]
pub struct Operations<'a, 'b, A, B> {
    comparison: Comparison<'a, 'b, A, B>,
    at: RegKey,
    /// The key of the operations before: those of one key share it.
    key: Option<Arc<RegKey>>,
    /// Remaining values of a new key.
    values: Vec<Value<'b, B>>,
    /// Remaining findings about a new key.
    about_new: Vec<NotCarried<'a, 'b, A, B>>,
}

/// Returns the operations that make `a` and all below it like `b`: for a registration file, in which `a` is called
/// `at`. Differences that an operation cannot make up for are items of their own, in their place.
///
/// # Examples
/// ```
/// use hivewright_hive::compare::operations;
/// use hivewright_hive::reg_text::{Form, Writer};
/// use hivewright_hive::{Data, EditOptions, Hive};
///
/// # let bytes = hivewright_fixtures::HiveSpec::new(hivewright_fixtures::Minor::V5)
/// #     .key("Select", |key| key.dword("Current", 1).dword("Old", 1)).build().bytes;
/// let before = Hive::open(bytes.clone())?.clean()?;
/// let mut edit = Hive::open(bytes)?.clean()?.edit(EditOptions::default());
/// edit.delete_value("Select", "Old")?;
/// let after = Hive::open(edit.finish()?.bytes)?.clean()?;
///
/// let mut text = Vec::new();
/// let mut writer = Writer::new(Form::Utf8, |piece: &[u8]| {
///     text.extend_from_slice(piece);
///     Ok(())
/// })?;
/// for operation in operations(&before.root()?, &after.root()?, r"HKLM\SYSTEM".parse()?) {
///     writer.operation(&operation.expect("nothing else differs"))?;
/// }
/// writer.finish()?;
/// let text = String::from_utf8(text).unwrap();
/// assert!(text.ends_with("[HKEY_LOCAL_MACHINE\\SYSTEM\\Select]\r\n\"Old\"=-\r\n\r\n"));
/// # Ok::<(), hivewright_hive::Error>(())
/// ```
pub fn operations<'a, 'b, A: HiveBytes, B: HiveBytes>(
    a: &Key<'a, A>,
    b: &Key<'b, B>,
    at: RegKey,
) -> Operations<'a, 'b, A, B> {
    let comparison = compare(a, b, CompareOptions { times: false, inside: true });
    Operations { comparison, at, key: None, values: Vec::new(), about_new: Vec::new() }
}

type Item<'a, 'b, A, B> = Result<RegOperation, NotCarried<'a, 'b, A, B>>;

impl<'a, 'b, A: HiveBytes, B: HiveBytes> Iterator for Operations<'a, 'b, A, B> {
    type Item = Item<'a, 'b, A, B>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(finding) = self.about_new.pop() {
                return Some(Err(finding));
            }
            if let Some(value) = self.values.pop() {
                let key = self.key.clone()?;
                return Some(self.set(key, &value));
            }
            match self.comparison.next()? {
                Ok(difference) => {
                    if let Some(item) = self.operation(difference) {
                        return Some(item);
                    }
                }
                Err(damage) => return Some(Err(NotCarried::Damage(damage))),
            }
        }
    }
}

impl<'a, 'b, A: HiveBytes, B: HiveBytes> Operations<'a, 'b, A, B> {
    /// Returns the operation for a difference; `None` where the one for a key above does it.
    fn operation(&mut self, difference: Difference<'a, 'b, A, B>) -> Option<Item<'a, 'b, A, B>> {
        let change = match &difference.what {
            What::KeyOnlyInA { unsure: true, .. }
            | What::KeyOnlyInB { unsure: true, .. }
            | What::ValueOnlyInA { unsure: true, .. }
            | What::ValueOnlyInB { unsure: true, .. }
            | What::Class { .. }
            | What::Security { .. }
            | What::Time { .. }
            | What::Tombstone { .. } => return Some(Err(NotCarried::Difference(Box::new(difference)))),
            What::KeyOnlyInA { inside: true, .. } => return None,
            What::KeyOnlyInA { .. } => Change::DeleteKey,
            What::KeyOnlyInB { key, .. } => {
                let new = key.clone();
                let key = self.key_of(&difference.names);
                self.new_key(&key, &new);
                return Some(Ok(RegOperation { line: 0, key, change: Change::CreateKey }));
            }
            What::ValueOnlyInA { value, .. } => Change::DeleteValue { name: value.name().clone().into_owned() },
            What::ValueOnlyInB { value, .. } | What::ValueChanged { b: value, .. } => {
                let key = self.key_of(&difference.names);
                return Some(self.set(key, value));
            }
        };
        let key = self.key_of(&difference.names);
        Some(Ok(RegOperation { line: 0, key, change }))
    }

    /// Queues the operations that follow the creation of a key.
    fn new_key(&mut self, path: &Arc<RegKey>, new: &Key<'b, B>) {
        let names: Vec<Name<'static>> = path.names[self.at.names.len()..].to_vec();
        let damage = |error: Error| NotCarried::Damage(Damage { names: names.clone(), side: Side::B, error });
        match new.values() {
            Ok(values) => {
                for value in values {
                    match value {
                        Ok(value) => self.values.push(value),
                        Err(damaged) => self.about_new.push(damage(damaged.into())),
                    }
                }
                self.values.reverse();
            }
            Err(error) => self.about_new.push(damage(error)),
        }
        match new.class() {
            Ok(None) => {}
            Ok(Some(_)) => self.about_new.push(NotCarried::ClassOfNewKey { key: Arc::clone(path) }),
            Err(error) => self.about_new.push(damage(error)),
        }
        match inherits(new) {
            Ok(true) => {}
            Ok(false) => self.about_new.push(NotCarried::SecurityOfNewKey { key: Arc::clone(path) }),
            Err(error) => self.about_new.push(damage(error)),
        }
    }

    fn set(&self, key: Arc<RegKey>, value: &Value<'b, B>) -> Item<'a, 'b, A, B> {
        match value.raw_data() {
            Ok(data) => {
                let (name, data_type) = (value.name().clone().into_owned(), value.data_type());
                let change = Change::SetValue { name, data_type, data: data.into_owned() };
                Ok(RegOperation { line: 0, key, change })
            }
            Err(error) => {
                let names = key.names[self.at.names.len()..].to_vec();
                let error = error.about(&format!("the value {:?}", value.name().to_string()));
                Err(NotCarried::Damage(Damage { names, side: Side::B, error }))
            }
        }
    }

    fn key_of(&mut self, names: &[Name<'static>]) -> Arc<RegKey> {
        let at = self.at.names.len();
        if let Some(key) = self.key.as_ref().filter(|key| key.names[at..] == *names) {
            return Arc::clone(key);
        }
        let names = self.at.names.iter().chain(names).cloned().collect();
        let key = Arc::new(RegKey { root: self.at.root, names });
        self.key = Some(Arc::clone(&key));
        key
    }
}

/// Returns whether a key has the descriptor that it gets from its parent when it is created.
fn inherits<B: HiveBytes>(key: &Key<'_, B>) -> Result<bool, Error> {
    let Some(parent) = key.parent()? else { return Ok(true) };
    let (above, own) = (parent.security_descriptor()?, key.security_descriptor()?);
    Ok(SecurityDescriptor::from_bytes(&above)?.for_new_key() == SecurityDescriptor::from_bytes(&own)?)
}
