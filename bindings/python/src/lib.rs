//! hivewright for Python. The package `hivewright` (`python/hivewright`) shows what stands here, with type stubs.
//!
//! Every class holds a value of the library and no Python object, so that there are no cycles to collect. What reads files or
//! takes long releases the GIL; what looks up a key of a hive in memory does not, since that costs more than the look-up.

mod audit;
mod convert;
mod error;
mod hive;
mod image;
mod iterate;
mod transaction;

use pyo3::prelude::*;

#[pymodule]
fn _hivewright(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<image::Image>()?;
    module.add_class::<image::Installation>()?;
    module.add_class::<image::Profile>()?;
    module.add_class::<hive::Hive>()?;
    module.add_class::<hive::Key>()?;
    module.add_class::<hive::Value>()?;
    module.add_class::<transaction::Transaction>()?;
    module.add_class::<transaction::Prepared>()?;
    module.add_class::<transaction::Committed>()?;
    module.add_class::<audit::Audit>()?;
    module.add_function(wrap_pyfunction!(transaction::undo, module)?)?;
    module.add_function(wrap_pyfunction!(audit::audit, module)?)?;
    Ok(())
}
