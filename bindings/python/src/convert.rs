//! What Python gives, and what it gets: paths, names, data, times.

use std::path::PathBuf;

use hivewright::hivewright_hive::ValueType;
use hivewright::hivewright_hive::regf::name::Name;
use hivewright::hivewright_hive::regf::timestamp::FileTime;
use hivewright::{Data, KeyPath, RegistryPath};
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyList, PyString};

use crate::error::OrRaise;

/// A path as `open` takes it: `str`, `bytes` or `os.PathLike`, with every byte that the system allows.
pub(crate) struct AnyPath(pub(crate) PathBuf);

impl<'py> FromPyObject<'_, 'py> for AnyPath {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        static DECODE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let decode = DECODE.import(given.py(), "os", "fsdecode")?;
        Ok(AnyPath(decode.call1((given,))?.extract()?))
    }
}

/// The path of a key: text, in which backslashes part the names and `{U+005C}` stands for a code unit, or the names, each as it is.
pub(crate) enum AnyKeyPath {
    Text(String),
    Names(Vec<Name<'static>>),
}

impl<'py> FromPyObject<'_, 'py> for AnyKeyPath {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(text) = given.cast::<PyString>() {
            return Ok(AnyKeyPath::Text(text.to_cow()?.into_owned()));
        }
        let names = given.try_iter()?.map(|name| name?.extract::<AnyName>().map(|name| name.0));
        names.collect::<PyResult<_>>().map(AnyKeyPath::Names)
    }
}

impl AnyKeyPath {
    pub(crate) fn key_path(&self) -> KeyPath<'_> {
        match self {
            AnyKeyPath::Text(text) => KeyPath::from_escaped(text),
            AnyKeyPath::Names(names) => KeyPath::from_names(names),
        }
    }

    pub(crate) fn registry_path(&self, py: Python<'_>) -> PyResult<RegistryPath> {
        RegistryPath::from_names(self.key_path()).or_raise(py)
    }
}

/// A name, which may have surrogates without a partner.
pub(crate) struct AnyName(pub(crate) Name<'static>);

impl<'py> FromPyObject<'_, 'py> for AnyName {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let text = given.cast::<PyString>()?;
        Ok(AnyName(match text.to_cow() {
            Ok(text) => Name::encode(&text),
            Err(_) => Name::from_units(&units(&text)?),
        }))
    }
}

/// The code units of a text.
fn units(text: &Bound<'_, PyString>) -> PyResult<Vec<u16>> {
    let encoded = text.call_method1("encode", ("utf-16-le", "surrogatepass"))?;
    let bytes: &[u8] = encoded.extract()?;
    Ok(bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect())
}

/// A text of code units. Surrogates without a partner stay, as Python's `surrogatepass` has them.
pub(crate) fn text<'py>(py: Python<'py>, units: impl Iterator<Item = u16> + Clone) -> PyResult<Bound<'py, PyString>> {
    if let Ok(text) = char::decode_utf16(units.clone()).collect::<Result<String, _>>() {
        return Ok(PyString::new(py, &text));
    }
    let bytes: Vec<u8> = units.flat_map(u16::to_le_bytes).collect();
    let bytes = PyBytes::new(py, &bytes);
    PyString::from_encoded_object(&bytes, Some(c"utf-16-le"), Some(c"surrogatepass"))
}

/// A name as Python has it.
pub(crate) fn name<'py>(py: Python<'py>, name: &Name<'_>) -> PyResult<Bound<'py, PyString>> {
    match std::str::from_utf8(name.bytes()) {
        Ok(ascii) if name.is_latin1() && ascii.is_ascii() => Ok(PyString::new(py, ascii)),
        _ => text(py, name.units().collect::<Vec<_>>().into_iter()),
    }
}

/// The data of a value: `int`, `str`, `list[str]` or `bytes`, by its type.
pub(crate) fn data<'py>(py: Python<'py>, data: &Data) -> PyResult<Bound<'py, PyAny>> {
    Ok(match data {
        Data::Dword(number) | Data::DwordBigEndian(number) => number.into_pyobject(py)?.into_any(),
        Data::Qword(number) => number.into_pyobject(py)?.into_any(),
        Data::Sz(string) | Data::ExpandSz(string) | Data::Link(string) => {
            let units: Vec<u16> = string.units().take_while(|&unit| unit != 0).collect();
            text(py, units.into_iter())?.into_any()
        }
        Data::MultiSz(list) => {
            let pairs = list.as_bytes().chunks_exact(2);
            let units: Vec<u16> = pairs.map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
            let texts = units.split(|&unit| unit == 0).take_while(|text| !text.is_empty());
            let texts = texts.map(|units| text(py, units.iter().copied())).collect::<PyResult<Vec<_>>>()?;
            PyList::new(py, texts)?.into_any()
        }
        Data::None(bytes)
        | Data::Binary(bytes)
        | Data::ResourceList(bytes)
        | Data::FullResourceDescriptor(bytes)
        | Data::ResourceRequirementsList(bytes)
        | Data::Other { bytes, .. } => PyBytes::new(py, bytes).into_any(),
        other => PyBytes::new(py, &other.to_bytes()).into_any(),
    })
}

/// Text with its zero, as values store it.
fn terminated(given: &Bound<'_, PyString>) -> PyResult<Vec<u8>> {
    Ok(units(given)?.into_iter().chain([0]).flat_map(u16::to_le_bytes).collect())
}

/// The type that a value is given: its name (`REG_DWORD`) or its number.
pub(crate) struct AnyType(ValueType);

impl<'py> FromPyObject<'_, 'py> for AnyType {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(number) = given.extract::<u32>() {
            return Ok(AnyType(ValueType(number)));
        }
        let text: String = given.extract()?;
        let parsed = text.parse().map(AnyType);
        parsed.map_err(|()| PyValueError::new_err(format!("{text:?} is no type of a value")))
    }
}

/// The data that a value shall have, of what Python gives and the type that was named.
pub(crate) fn given_data(given: &Bound<'_, PyAny>, named: Option<&AnyType>) -> PyResult<Data> {
    let named = named.map(|named| named.0);
    if let Ok(bytes) = given.cast::<PyBytes>() {
        return Ok(Data::new(named.unwrap_or(ValueType::BINARY), bytes.as_bytes()));
    }
    let wrong = |data_type: ValueType| {
        let given = given.get_type().name().map(|name| name.to_string()).unwrap_or_default();
        PyTypeError::new_err(format!("{given} is no data for {data_type}: give bytes"))
    };
    if let Ok(string) = given.cast::<PyString>() {
        let data_type = named.unwrap_or(ValueType::SZ);
        return match data_type {
            ValueType::SZ | ValueType::EXPAND_SZ => Ok(Data::new(data_type, terminated(string)?)),
            // By convention the target of a link has no zero.
            ValueType::LINK => {
                Ok(Data::new(data_type, units(string)?.into_iter().flat_map(u16::to_le_bytes).collect::<Vec<_>>()))
            }
            _ => Err(wrong(data_type)),
        };
    }
    // `True` is an `int` to Python, and a slip here.
    if given.is_instance_of::<pyo3::types::PyInt>() && !given.is_instance_of::<PyBool>() {
        let data_type = named.unwrap_or(ValueType::DWORD);
        let too_large = |_| PyOverflowError::new_err(format!("{given} does not fit into {data_type}"));
        return match data_type {
            ValueType::DWORD => given.extract().map(Data::Dword).map_err(too_large),
            ValueType::DWORD_BIG_ENDIAN => given.extract().map(Data::DwordBigEndian).map_err(too_large),
            ValueType::QWORD => given.extract().map(Data::Qword).map_err(too_large),
            _ => Err(wrong(data_type)),
        };
    }
    let data_type = named.unwrap_or(ValueType::MULTI_SZ);
    if data_type != ValueType::MULTI_SZ
        || !(given.is_instance_of::<PyList>() || given.is_instance_of::<pyo3::types::PyTuple>())
    {
        return Err(wrong(data_type));
    }
    let mut bytes = Vec::new();
    for string in given.try_iter()? {
        let string = string?;
        let string = string.cast::<PyString>()?;
        if string.is_empty()? {
            return Err(PyValueError::new_err("an empty string would end the list"));
        }
        bytes.extend(terminated(string)?);
    }
    bytes.extend([0, 0]);
    Ok(Data::new(data_type, bytes))
}

/// A time as a `datetime` in UTC, of whole microseconds.
pub(crate) fn datetime<'py>(py: Python<'py>, time: FileTime) -> PyResult<Bound<'py, PyAny>> {
    static DATETIME: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static UTC: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    const MOST_YEARS: u64 = 9999;
    let [year, month, day, hour, minute, second, rest] = time.fields();
    if year > MOST_YEARS {
        return Err(PyOverflowError::new_err("the time is beyond the year 9999"));
    }
    let utc = UTC
        .get_or_try_init(py, || Ok::<_, PyErr>(py.import("datetime")?.getattr("timezone")?.getattr("utc")?.unbind()))?;
    DATETIME.import(py, "datetime", "datetime")?.call1((year, month, day, hour, minute, second, rest / 10, utc))
}

/// A document of JSON as Python's objects.
pub(crate) fn document<'py>(py: Python<'py>, document: &impl serde::Serialize) -> PyResult<Bound<'py, PyAny>> {
    static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let text = serde_json::to_string(document).map_err(|error| PyValueError::new_err(error.to_string()))?;
    LOADS.import(py, "json", "loads")?.call1((text,))
}
