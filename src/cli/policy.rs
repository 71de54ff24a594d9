//! `hivewright policy`: the included policies.

use hivewright_error::{Code, Error, Kind};

use super::args::PolicyArgs;
use super::exit::Outcome;
use crate::policy::{SHIPPED, Shipped};

pub(crate) fn run(args: &PolicyArgs) -> anyhow::Result<Outcome> {
    let Some(name) = &args.name else {
        let lines = SHIPPED.iter().map(|shipped| format!("{:<16}{}\n", shipped.name, shipped.about()));
        super::print(lines.collect::<String>().as_bytes())?;
        return Ok(Outcome::Yes);
    };
    let shipped = Shipped::named(name.as_ref()).ok_or_else(|| {
        let names = SHIPPED.map(|shipped| shipped.name).join(", ");
        Error::new(Kind::NotFound, Code::Policy, format!("there is no included policy {name}"))
            .advise(format!("use one of {names}"))
    })?;
    super::print(shipped.text.as_bytes())?;
    Ok(Outcome::Yes)
}
