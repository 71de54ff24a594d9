//! A model of the contents of a hive and of the effect of each operation.

use std::collections::BTreeMap;

use hivewright_hive::regf::key_node::flags;
use hivewright_hive::regf::name::{Name, upcase};
use hivewright_hive::{Data, Editor, Hive, KeyPath, Result, Text, ValueType};

/// A name as its code units.
pub(crate) type Units = Vec<u16>;
/// The names from the root down.
pub(crate) type Path = Vec<Units>;

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Create(Path),
    Delete(Path),
    Rename(Path, Units),
    Copy(Path, Path),
    Set(Path, Units, u32, usize),
    Unset(Path, Units),
    Clear(Path),
    Secure(Path, Vec<u8>),
    Class(Path, usize),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Content {
    name: Units,
    flags: u16,
    class: Vec<u8>,
    security: Vec<u8>,
    pub(crate) values: Vec<(Units, Data)>,
}

/// All keys, by the folded names from the root down.
pub(crate) type Contents = BTreeMap<Path, Content>;

pub(crate) fn units(text: &str) -> Units {
    text.encode_utf16().collect()
}

fn fold(name: &[u16]) -> Units {
    name.iter().copied().map(upcase).collect()
}

fn folded(path: &[Units]) -> Path {
    path.iter().map(|name| fold(name)).collect()
}

pub(crate) fn key_path(path: &[Units]) -> KeyPath<'static> {
    KeyPath::from_names(path.iter().map(|name| Name::from_units(name)))
}

pub(crate) fn data(kind: u32, size: usize) -> Data {
    Data::new(ValueType(kind), (0..size).map(|i| (i * 7 + size) as u8).collect::<Vec<_>>())
}

fn class(size: usize) -> Vec<u8> {
    vec![0x41; size]
}

/// Reads all keys and values of a hive.
pub(crate) fn contents(bytes: &[u8]) -> Contents {
    readable_contents(bytes).unwrap()
}

/// Reads everything of a hive, or the damage that stands in the way.
pub(crate) fn readable_contents(bytes: &[u8]) -> Result<Contents> {
    let hive = Hive::open(bytes)?.clean()?;
    let mut found = Contents::new();
    let mut rest = vec![(Path::new(), hive.root()?)];
    while let Some((path, key)) = rest.pop() {
        let values = key.values()?.map(|value| {
            let value = value?;
            Ok((value.name().units().collect(), value.data()?))
        });
        let content = Content {
            name: key.name().units().collect(),
            flags: key.node().flags.get() & !flags::LATIN1_NAME,
            class: key.class()?.map(Text::into_bytes).unwrap_or_default(),
            security: key.security_descriptor()?.into_owned(),
            values: values.collect::<Result<_>>()?,
        };
        for subkey in key.subkeys()? {
            let subkey = subkey?;
            assert_eq!(subkey.parent()?.unwrap().at(), key.at());
            let mut path = path.clone();
            path.push(fold(&subkey.name().units().collect::<Vec<_>>()));
            rest.push((path, subkey));
        }
        if let Some(twice) = found.insert(path, content) {
            return Err(hivewright_hive::Error::corrupt(hivewright_error::Code::KeyTwice, format!("{twice:?}"), 0));
        }
    }
    Ok(found)
}

/// Applies `op`. Returns whether anything changed.
pub(crate) fn apply_operation(editor: &mut Editor, op: &Op) -> Result<bool> {
    match op {
        Op::Create(path) => editor.create_key(key_path(path)),
        Op::Delete(path) => editor.delete_key(key_path(path)),
        Op::Rename(path, name) => editor.rename_key(key_path(path), Name::from_units(name)),
        Op::Copy(from, to) => editor.copy_key(key_path(from), key_path(to)),
        Op::Set(path, name, kind, size) => {
            editor.set_value(key_path(path), Name::from_units(name), &data(*kind, *size))
        }
        Op::Unset(path, name) => editor.delete_value(key_path(path), Name::from_units(name)),
        Op::Clear(path) => editor.delete_all_values(key_path(path)).map(|count| count > 0),
        Op::Secure(path, descriptor) => editor.set_security(key_path(path), descriptor),
        Op::Class(path, size) => {
            let class = Text::from_bytes(class(*size));
            editor.set_class(key_path(path), Some(&class).filter(|_| *size > 0))
        }
    }
}

/// Applies `op` to the model. Returns whether anything changes, or the code of the refusal.
pub(crate) fn model(contents: &mut Contents, op: &Op) -> std::result::Result<bool, &'static str> {
    match op {
        Op::Create(path) => create(contents, path),
        Op::Delete(path) => {
            let path = folded(path);
            if below(contents, &path).any(|(_, key)| key.flags & flags::NO_DELETE != 0) {
                return Err("key-no-delete");
            }
            let before = contents.len();
            contents.retain(|key, _| !key.starts_with(&path));
            Ok(contents.len() < before)
        }
        Op::Rename(path, name) => rename(contents, path, name),
        Op::Copy(from, to) => copy(contents, from, to),
        Op::Set(path, name, kind, size) => {
            let key = contents.get_mut(&folded(path)).ok_or("no-key")?;
            takes_values(key)?;
            Ok(set(&mut key.values, name, data(*kind, *size)))
        }
        Op::Unset(path, name) => {
            let key = contents.get_mut(&folded(path)).ok_or("no-key")?;
            takes_values(key)?;
            let place = key.values.iter().position(|(there, _)| fold(there) == fold(name));
            place.map(|place| key.values.remove(place));
            Ok(place.is_some())
        }
        Op::Clear(path) => {
            let key = contents.get_mut(&folded(path)).ok_or("no-key")?;
            takes_values(key)?;
            Ok(!std::mem::take(&mut key.values).is_empty())
        }
        Op::Secure(path, descriptor) => {
            let key = contents.get_mut(&folded(path)).ok_or("no-key")?;
            Ok(std::mem::replace(&mut key.security, descriptor.clone()) != *descriptor)
        }
        Op::Class(path, size) => {
            let key = contents.get_mut(&folded(path)).ok_or("no-key")?;
            Ok(std::mem::replace(&mut key.class, class(*size)) != class(*size))
        }
    }
}

fn takes_values(key: &Content) -> std::result::Result<(), &'static str> {
    if key.flags & flags::SYMBOLIC_LINK != 0 { Err("key-takes-no-values") } else { Ok(()) }
}

fn below<'c>(contents: &'c Contents, path: &'c [Units]) -> impl Iterator<Item = (&'c Path, &'c Content)> {
    contents.range(path.to_vec()..).take_while(move |(key, _)| key.starts_with(path))
}

fn set(values: &mut Vec<(Units, Data)>, name: &[u16], data: Data) -> bool {
    match values.iter_mut().find(|(there, _)| fold(there) == fold(name)) {
        Some((_, there)) => std::mem::replace(there, data.clone()) != data,
        None => {
            values.push((name.to_vec(), data));
            true
        }
    }
}

fn create(contents: &mut Contents, path: &[Units]) -> std::result::Result<bool, &'static str> {
    let mut created = false;
    for end in 1..=path.len() {
        let here = folded(&path[..end]);
        if contents.contains_key(&here) {
            continue;
        }
        let parent = &contents[&here[..end - 1]];
        if parent.flags & flags::SYMBOLIC_LINK != 0 {
            return Err("key-takes-no-subkeys");
        }
        let security = super::security_below(&parent.security);
        let key = Content { name: path[end - 1].clone(), flags: 0, class: vec![], security, values: vec![] };
        contents.insert(here, key);
        created = true;
    }
    Ok(created)
}

fn rename(contents: &mut Contents, path: &[Units], name: &[u16]) -> std::result::Result<bool, &'static str> {
    let old = folded(path);
    let key = contents.get(&old).ok_or("no-key")?;
    if key.name == name {
        return Ok(false);
    }
    if key.flags & flags::NO_DELETE != 0 {
        return Err("key-no-delete");
    }
    let mut new = old.clone();
    *new.last_mut().unwrap() = fold(name);
    if new != old && contents.contains_key(&new) {
        return Err("key-exists");
    }
    let tree: Vec<_> = below(contents, &old).map(|(key, content)| (key.clone(), content.clone())).collect();
    contents.retain(|key, _| !key.starts_with(&old));
    for (key, content) in tree {
        let moved = new.iter().chain(&key[old.len()..]).cloned().collect();
        contents.insert(moved, content);
    }
    contents.get_mut(&new).unwrap().name = name.to_vec();
    Ok(true)
}

fn copy(contents: &mut Contents, from: &[Units], to: &[Units]) -> std::result::Result<bool, &'static str> {
    let (from, folded_to) = (folded(from), folded(to));
    let tree: Vec<_> = below(contents, &from).map(|(key, content)| (key.clone(), content.clone())).collect();
    if tree.is_empty() {
        return Err("no-key");
    }
    if folded_to.starts_with(&from) {
        return Err("key-into-itself");
    }
    let mut changed = create(contents, &to[..to.len() - 1])?;
    for (i, (key, mut content)) in tree.into_iter().enumerate() {
        let place: Path = folded_to.iter().chain(&key[from.len()..]).cloned().collect();
        match contents.get_mut(&place) {
            Some(there) => {
                for (name, data) in content.values {
                    changed |= set(&mut there.values, &name, data);
                }
            }
            None => {
                content.flags &= flags::SYMBOLIC_LINK;
                if i == 0 {
                    content.name = to.last().unwrap().clone();
                }
                contents.insert(place, content);
                changed = true;
            }
        }
    }
    Ok(changed)
}
