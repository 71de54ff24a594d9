//! Hives other than SYSTEM: reported with their kind.

use hivewright_fixtures::HiveSpec;
use hivewright_fixtures::hive::Minor;

use crate::command::hivewright;

#[test]
fn another_hive_is_reported_with_its_kind() {
    let by_name = [
        (r"emRoot\System32\Config\SOFTWARE", "SOFTWARE"),
        (r"\SystemRoot\System32\Config\SAM", "SAM"),
        (r"emRoot\System32\Config\SECURITY", "SECURITY"),
        (r"emRoot\System32\Config\DEFAULT", "DEFAULT"),
        (r"\??\C:\Users\somebody\ntuser.dat", "NTUSER.DAT"),
        (r"\Microsoft\Windows\UsrClass.dat", "UsrClass.dat"),
        (r"temRoot\System32\config\DRIVERS", "DRIVERS"),
        (r"Root\System32\config\COMPONENTS", "COMPONENTS"),
        (r"\EFI\Microsoft\Boot\BCD", "BCD"),
        (r"AppCompat\Programs\Amcache.hve", "Amcache.hve"),
    ];
    let by_subkeys: [(&[&str], &str); 6] = [
        (&["Classes", "Microsoft", "Policies"], "SOFTWARE"),
        (&["Control Panel", "Environment", "Software"], "NTUSER.DAT"),
        (&["Description", "Objects"], "BCD"),
        (&["DriverDatabase"], "DRIVERS"),
        (&["Policy", "RXACT"], "SECURITY"),
        (&["SAM"], "SAM"),
    ];
    let named = by_name.map(|(file, kind)| (HiveSpec::new(Minor::V5).file_name(file), Some(kind)));
    let saved = by_subkeys
        .map(|(keys, kind)| (HiveSpec::new(Minor::V5).file_name("").root(|root| root.empty_keys(keys)), Some(kind)));
    let neither = (HiveSpec::new(Minor::V5).file_name("").root(|root| root.empty_keys(&["Example"])), None);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hive");
    for (spec, kind) in named.into_iter().chain(saved).chain([neither]) {
        std::fs::write(&path, spec.build().bytes).unwrap();
        let path = path.to_str().unwrap();
        for verb in [&["get"][..], &["set", "2"], &["unset"], &["set", "2", "--dry-run"]] {
            let run = hivewright(verb.iter().copied().chain(["--json", path]));
            let error = &run.json()["error"];
            assert_eq!((run.code, &error["code"]), (2, &"not-system".into()), "{kind:?} {verb:?}: {error:#}");
            let says = kind.is_none_or(|kind| error["message"].as_str().unwrap().contains(kind));
            assert!(says && error["advice"].is_string(), "{kind:?}: {error:#}");
        }
        let info = hivewright(["info", "--json", path]);
        assert_eq!((info.code, info.json()["kind"].as_str()), (0, kind));
        let audit = hivewright(["audit", "--json", path]);
        assert!(audit.code == 2 && audit.out.contains("\"code\":\"not-system\""), "{kind:?}: {}", audit.out);
    }
}
