//! The public interface of audits.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::baseline::Baseline;
use super::pool;
use super::read::ReadOptions;
use super::resume::Earlier;
use super::run::{self, Plan};
use super::sorted::Order;
use crate::locate::ImageOptions;
use crate::policy::{Policy, Wanted};
use hivewright_error::{Code, Error, Kind, Result};

/// An audit of many images, hives and Windows folders: one record for each Windows installation, judged by policies.
/// Nothing is written.
///
/// # Examples
/// ```
/// use hivewright::Audit;
///
/// # let images = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/windows/win10");
/// let mut audit = Audit::new([images]);
/// audit.expect("2")?.policy("smb1-off")?;
/// let mut records = Vec::new();
/// let summary = audit.run(|record| {
///     records.push(record.to_owned());
///     true
/// })?;
/// assert!(records[0].contains(r#""compliant":false"#) && summary.contains(r#""records":1"#));
/// # Ok::<(), hivewright::Error>(())
/// ```
#[must_use = "nothing is read until it runs"]
pub struct Audit {
    targets: Vec<PathBuf>,
    policy: Policy,
    image: ImageOptions,
    baseline: Option<Baseline>,
    sha256: bool,
    order: Order,
    pool: pool::Options,
}

impl Audit {
    /// Makes an audit of files, folders with all that is below, patterns and block devices. It reads as many targets
    /// at once as there are processors, and gives up a target after ten minutes.
    pub fn new<P: Into<PathBuf>>(targets: impl IntoIterator<Item = P>) -> Self {
        let jobs = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Audit {
            targets: targets.into_iter().map(Into::into).collect(),
            policy: Policy::default(),
            image: ImageOptions::default(),
            baseline: None,
            sha256: false,
            order: Order::AsRead,
            pool: pool::Options { jobs, timeout: Some(Duration::from_secs(600)), stop: Arc::default() },
        }
    }

    /// Expects the L2TP/NAT-T setting of every installation to be this at next boot: 0, 1, 2, `set` or `unset`.
    ///
    /// # Errors
    /// `expectation`: the text is none of these.
    pub fn expect(&mut self, expected: &str) -> Result<&mut Self> {
        match expected.parse()? {
            wanted @ (Wanted::Number(0..=2) | Wanted::Set | Wanted::Unset) => self.policy.expect_of_all(wanted),
            _ => {
                let what = format!("{expected} is not expected of an installation: use 0, 1, 2, set or unset");
                return Err(Error::new(Kind::NotFound, Code::Expectation, what));
            }
        }
        Ok(self)
    }

    /// Adds a policy: a TOML file, or one that comes with the library by its name.
    ///
    /// # Errors
    /// `policy`: it does not exist or is invalid; I/O errors.
    pub fn policy(&mut self, file_or_name: impl AsRef<Path>) -> Result<&mut Self> {
        self.policy.add_file(file_or_name.as_ref())?;
        Ok(self)
    }

    /// Expects every line of a registration file to hold.
    ///
    /// # Errors
    /// `reg-text`: a line is invalid; I/O errors.
    pub fn registration_file(&mut self, file: impl AsRef<Path>) -> Result<&mut Self> {
        self.policy.add_reg_file(file.as_ref())?;
        Ok(self)
    }

    /// Compares with the records of an earlier run: records have `drift`, and there is one more for each that is gone.
    ///
    /// # Errors
    /// `resume-no-records`: the file does not contain records; I/O errors.
    pub fn baseline(&mut self, records: impl AsRef<Path>) -> Result<&mut Self> {
        self.baseline = Some(Baseline::load(records.as_ref())?);
        Ok(self)
    }

    /// Sets the options by which all images are opened.
    pub fn image_options(&mut self, options: ImageOptions) -> &mut Self {
        self.image = options;
        self
    }

    /// Computes the hash of every hive.
    pub fn sha256(&mut self) -> &mut Self {
        self.sha256 = true;
        self
    }

    /// Gives the records at the end, in the order of the paths of their targets: the same input gives the same records.
    pub fn sorted(&mut self) -> &mut Self {
        self.order = Order::ByPath;
        self
    }

    /// Sets the number of targets that are read at once, at least one.
    pub fn jobs(&mut self, jobs: usize) -> &mut Self {
        self.pool.jobs = jobs.max(1);
        self
    }

    /// Sets the time after which a target is given up; `None` for never.
    pub fn timeout(&mut self, most: Option<Duration>) -> &mut Self {
        self.pool.timeout = most;
        self
    }

    /// Returns the flag that stops the audit when it is set: what is begun ends, and nothing else is begun.
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        self.pool.stop.clone()
    }

    /// Reads all targets. Each record goes to `take` as a line of JSON, as `hivewright audit --json` prints it; `take`
    /// returns `false` to end the audit. A target that cannot be read is a record with its error. Returns the summary
    /// as JSON.
    ///
    /// # Errors
    /// Those of the temporary file in which records are sorted.
    pub fn run(self, mut take: impl FnMut(&str) -> bool) -> Result<String> {
        let plan = Plan {
            names: Box::new(self.targets.into_iter().map(Ok)),
            read_options: ReadOptions {
                sha256: self.sha256,
                image: self.image,
                policy: Arc::new(self.policy),
                ..ReadOptions::default()
            },
            shard: None,
            earlier: Earlier::default(),
            baseline: self.baseline,
            order: self.order,
            verify_hashes: false,
            listener: Box::new(|_| {}),
            pool: self.pool,
        };
        let json = |failed: serde_json::Error| std::io::Error::other(failed);
        let mut failed = None;
        let summary = run::run(plan, &Arc::default(), |record| match serde_json::to_string(record) {
            Ok(line) => take(&line),
            Err(error) => {
                failed = Some(json(error));
                false
            }
        });
        let summary = match failed {
            Some(error) => Err(error),
            None => summary.and_then(|summary| serde_json::to_string(&summary).map_err(json)),
        };
        summary.map_err(|error| Error::io(format!("the audit ended early: {error}"), error))
    }
}
