//! Lists the services of every Windows installation in an image, a folder or a hive.
//!
//!     cargo run --example services -- golden.qcow2

use hivewright::{Data, HiveKind, Image, Result};

fn main() -> Result<()> {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: services IMAGE");
        std::process::exit(2);
    };
    for windows in Image::open(path)?.installations()? {
        println!("{windows}");
        let system = windows.hive(HiveKind::System)?;
        let Some(services) = system.key(r"CurrentControlSet\Services")? else { continue };
        for service in services.subkeys()? {
            // A damaged key does not hide the others.
            let service = match service {
                Ok(service) => service,
                Err(error) => {
                    eprintln!("{error}");
                    continue;
                }
            };
            let data = |name| service.value(name)?.map(|value| value.data()).transpose();
            let start = match data("Start")? {
                Some(Data::Dword(start)) => start.to_string(),
                _ => "-".to_owned(),
            };
            let path = match data("ImagePath")? {
                Some(Data::ExpandSz(path) | Data::Sz(path)) => path.to_string(),
                _ => String::new(),
            };
            println!("  {start} {} {path}", service.name());
        }
    }
    Ok(())
}
