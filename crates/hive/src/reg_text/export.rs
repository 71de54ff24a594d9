//! Exporting a key of a hive with all below it.

use super::write::check_key_name;
use super::{RegKey, Writer};
use crate::regf::key_node::{self, MAX_DEPTH};
use crate::{DamagedValue, HiveBytes, Key, Value};
use hivewright_error::{Code, Error, Kind, Result};

/// The result of an export.
#[derive(Debug, Default)]
pub struct Exported {
    /// Number of keys written.
    pub keys: u64,
    /// Number of values written.
    pub values: u64,
    /// The reasons why keys (with all below them) and values were omitted: damage, and names and data that the form
    /// cannot represent. At most a hundred.
    pub left_out: Vec<Error>,
    /// The number of omitted keys and values.
    pub left_out_count: u64,
}

/// The most reasons that are kept.
const MOST_REASONS: usize = 100;

impl Exported {
    /// Records an error about the key at `path`. An I/O error ends the export.
    fn leave_out(&mut self, path: &RegKey, error: Error) -> Result<()> {
        if error.kind() == Kind::Io {
            return Err(error);
        }
        self.left_out_count += 1;
        if self.left_out.len() < MOST_REASONS {
            self.left_out.push(error.about(&path.to_string()));
        }
        Ok(())
    }
}

impl<S: FnMut(&[u8]) -> Result<()>> Writer<S> {
    /// Writes `key` and all below it, as `at`: its values in the order of its list, then its subkeys. Damaged and
    /// unrepresentable parts are omitted and listed. Registration files have no class names, security descriptors and
    /// times.
    ///
    /// # Errors
    /// Those of the sink, and those of reading of kind [`Kind::Io`].
    pub fn export<B: HiveBytes>(&mut self, key: &Key<'_, B>, at: &RegKey) -> Result<Exported> {
        let mut done = Exported::default();
        let mut path = at.clone();
        path.names.iter().try_for_each(check_key_name)?;
        let mut open = Vec::new();
        open.extend(self.export_key(key, &path, &mut done)?);
        while let Some(subkeys) = open.last_mut() {
            match subkeys.next() {
                Some(Ok(subkey)) => {
                    path.names.push(subkey.name().clone().into_owned());
                    match self.export_key(&subkey, &path, &mut done)? {
                        Some(below) => open.push(below),
                        None => _ = path.names.pop(),
                    }
                }
                Some(Err(error)) => done.leave_out(&path, error)?,
                None => {
                    open.pop();
                    path.names.pop();
                }
            }
        }
        Ok(done)
    }

    /// Writes a key without what is below it, and returns its subkeys unless it was left out.
    fn export_key<'h, B: HiveBytes>(
        &mut self,
        key: &Key<'h, B>,
        path: &RegKey,
        done: &mut Exported,
    ) -> Result<Option<impl Iterator<Item = Result<Key<'h, B>>> + use<'h, B, S>>> {
        let place = key.at().data_in_file();
        // Each key has a key node, which bounds the depth.
        let most = u64::from(key.hive().length()) / key_node::SIZE as u64;
        if done.keys >= most || path.names.len() > MAX_DEPTH {
            let what = "the keys are a cycle: the subkeys lists contain more keys than the hive can";
            return done.leave_out(path, Error::corrupt(Code::ListSize, what, place)).map(|()| None);
        }
        let minor = key.hive().base_block().minor_version.get();
        if key.node().is_tombstone(minor) {
            return done
                .leave_out(path, Error::refused(Code::LayeredTombstone, "the key is the tombstone of a layered key"))
                .map(|()| None);
        }
        let checked = path.names.last().map_or(Ok(()), check_key_name);
        if let Err(error) = checked.and_then(|()| self.open_section("[", path.root.name(), &path.names)) {
            return done.leave_out(path, error).map(|()| None);
        }
        done.keys += 1;
        match key.values() {
            Ok(values) => {
                for value in values {
                    self.export_value(value, minor, path, done)?;
                }
            }
            Err(error) => done.leave_out(path, error)?,
        }
        self.drain()?;
        match key.subkeys() {
            Ok(subkeys) => Ok(Some(subkeys)),
            Err(error) => done.leave_out(path, error).map(|()| None),
        }
    }

    fn export_value<B: HiveBytes>(
        &mut self,
        value: std::result::Result<Value<'_, B>, DamagedValue>,
        minor: u32,
        path: &RegKey,
        done: &mut Exported,
    ) -> Result<()> {
        let value = match value {
            Ok(value) => value,
            Err(damaged) => return done.leave_out(path, damaged.into()),
        };
        let about = |error: Error| error.about(&format!("the value {:?}", value.name().to_string()));
        if value.node().is_tombstone(minor) {
            return done.leave_out(
                path,
                about(Error::refused(Code::LayeredTombstone, "it is the tombstone of a layered value")),
            );
        }
        match value.raw_data() {
            Ok(data) => match self.value(value.name(), value.data_type(), &data) {
                Ok(()) => {
                    done.values += 1;
                    self.drain()
                }
                Err(error) if matches!(error.code(), Code::RegName | Code::RegData) => {
                    done.leave_out(path, about(error))
                }
                Err(error) => Err(error),
            },
            Err(error) => done.leave_out(path, about(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use hivewright_fixtures::{HiveSpec, Minor};

    use super::*;
    use crate::reg_text::{Form, ReadOptions, parse};
    use crate::{EditOptions, Hive};

    fn exported(hive: &Hive<Vec<u8>>) -> (Vec<u8>, Exported) {
        let mut file = Vec::new();
        let mut writer = Writer::new(Form::Utf16, |piece: &[u8]| {
            file.extend_from_slice(piece);
            Ok(())
        })
        .unwrap();
        let done = writer.export(&hive.root().unwrap(), &"HKLM\\X".parse().unwrap()).unwrap();
        writer.finish().unwrap();
        (file, done)
    }

    #[test]
    fn an_export_into_an_empty_hive_exports_the_same() {
        let spec = HiveSpec::new(Minor::V5)
            .key("Select", |key| key.dword("Current", 1).sz("", "default").sz("a\\\"b", "c\\\"d"))
            .key("Deep", |key| key.key("Deeper", |key| key.key("Ключ", |key| key.sz("x", "y"))))
            .key("Empty", |key| key);
        let (file, done) = exported(&Hive::open(spec.build().bytes).unwrap().clean().unwrap());
        assert_eq!((done.keys, done.values, done.left_out_count), (6, 4, 0));
        let read = parse(&file, &ReadOptions::default()).unwrap();
        let empty = HiveSpec::new(Minor::V5).build().bytes;
        let mut editor = Hive::open(empty).unwrap().clean().unwrap().edit(EditOptions::default());
        for operation in read.operations {
            let names: Vec<String> = operation.key.names[1..].iter().map(ToString::to_string).collect();
            let path = names.join("\\");
            match operation.change {
                crate::reg_text::Change::CreateKey => _ = editor.create_key(&path).unwrap(),
                crate::reg_text::Change::SetValue { name, data_type, data } => {
                    let data = crate::Data::new(data_type, data);
                    editor.set_value(&path, &name.to_string(), &data).unwrap();
                }
                other => panic!("{other:?}"),
            }
        }
        let back = Hive::open(editor.finish().unwrap().bytes).unwrap().clean().unwrap();
        assert_eq!(exported(&back).0, file);
    }

    #[test]
    fn damage_is_omitted_and_listed() {
        let built = HiveSpec::new(Minor::V5)
            .key("A", |key| key.sz("one", "first value").sz("two", "second value"))
            .key("B", |key| key.dword("three", 3))
            .build();
        let mut bytes = built.bytes;
        let hive = Hive::open(bytes.clone()).unwrap().clean().unwrap();
        let value = hive.key("A").unwrap().unwrap().value("one").unwrap().unwrap().at();
        let key = hive.key("B").unwrap().unwrap().at();
        bytes[usize::try_from(value.data_in_file()).unwrap()] = b'x';
        bytes[usize::try_from(key.data_in_file()).unwrap()] = b'x';
        let (file, done) = exported(&Hive::open(bytes).unwrap().clean().unwrap());
        assert_eq!((done.keys, done.values, done.left_out_count), (2, 1, 2));
        let codes: Vec<_> = done.left_out.iter().map(Error::code).collect();
        assert_eq!(codes, ["value-signature", "key-signature"]);
        let text: Vec<u16> = file[2..].chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        assert!(String::from_utf16(&text).unwrap().contains("\"two\"=\"second value\""));
    }

    #[test]
    fn a_cycle_ends_the_walk() {
        let built = HiveSpec::new(Minor::V5).key("A", |key| key.key("B", |key| key)).build();
        let mut bytes = built.bytes;
        let hive = Hive::open(bytes.clone()).unwrap().clean().unwrap();
        let (a, b) = (hive.key("A").unwrap().unwrap(), hive.key("A\\B").unwrap().unwrap());
        // B gets A's list of subkeys, in which it stands itself.
        let at = usize::try_from(b.at().data_in_file()).unwrap();
        bytes[at + 20..at + 24].copy_from_slice(&1u32.to_le_bytes());
        bytes[at + 28..at + 32].copy_from_slice(&a.node().subkeys_list.get().to_le_bytes());
        let (_, done) = exported(&Hive::open(bytes).unwrap().clean().unwrap());
        assert_eq!(done.left_out.iter().map(Error::code).collect::<Vec<_>>(), ["list-size"]);
    }
}
