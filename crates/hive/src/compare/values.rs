//! Compares the values of two keys. Their lists have no order, but mostly the same one on both sides and no
//! differences.

use std::cmp::Ordering;

use super::{Comparison, Side, What};
use crate::regf::key_value::Location;
use crate::regf::name::Name;
use crate::{HiveBytes, Key, Value};
use hivewright_error::Result;

impl<'a, 'b, A: HiveBytes, B: HiveBytes> Comparison<'a, 'b, A, B> {
    pub(super) fn values(&mut self, a: &Key<'a, A>, b: &Key<'b, B>) {
        if same_values(a, b) {
            return;
        }
        let name = b.name();
        let (Some((in_a, unsure_a)), Some((in_b, unsure_b))) =
            (self.sorted_values(a, name, Side::A), self.sorted_values(b, name, Side::B))
        else {
            return;
        };
        let (mut in_a, mut in_b) = (in_a.into_iter().peekable(), in_b.into_iter().peekable());
        loop {
            let order = match (in_a.peek(), in_b.peek()) {
                (None, None) => return,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(a), Some(b)) => a.name().compare(b.name()),
            };
            let left = if order.is_le() { in_a.next() } else { None };
            let right = if order.is_ge() { in_b.next() } else { None };
            match (left, right) {
                (Some(a), Some(b)) => match same_value(&a, &b) {
                    Ok(true) => {}
                    Ok(false) => self.differ(name, What::ValueChanged { a, b }),
                    Err(_) => {
                        let about = |error: hivewright_error::Error| {
                            error.about(&format!("the value {:?}", b.name().to_string()))
                        };
                        self.damages(name, a.raw_data().err().map(about), b.raw_data().err().map(about));
                    }
                },
                (Some(value), None) => self.differ(name, What::ValueOnlyInA { value, unsure: unsure_b }),
                (None, Some(value)) => self.differ(name, What::ValueOnlyInB { value, unsure: unsure_a }),
                (None, None) => return,
            }
        }
    }

    /// Returns the values of a key, sorted by name, and whether one of them could not be read. `None` if none could.
    fn sorted_values<'h, C: HiveBytes>(
        &mut self,
        key: &Key<'h, C>,
        name: &Name<'_>,
        side: Side,
    ) -> Option<(Vec<Value<'h, C>>, bool)> {
        let values = match key.values() {
            Ok(values) => values,
            Err(error) => {
                self.damage_at(name, side, error);
                return None;
            }
        };
        let (mut sorted, mut unsure) = (Vec::new(), false);
        for value in values {
            match value {
                Ok(value) => sorted.push(value),
                Err(damaged) => {
                    unsure = true;
                    self.damage_at(name, side, damaged.into());
                }
            }
        }
        // The first of two values of one name counts; the sort is stable.
        sorted.sort_by(|a, b| a.name().compare(b.name()));
        sorted.dedup_by(|later, first| later.name().compare(first.name()) == Ordering::Equal);
        Some((sorted, unsure))
    }
}

/// Returns whether two keys have the same values in the same order, all of them readable.
fn same_values<A: HiveBytes, B: HiveBytes>(a: &Key<'_, A>, b: &Key<'_, B>) -> bool {
    if a.node().values() != b.node().values() {
        return false;
    }
    if a.node().values() == 0 {
        return true;
    }
    let (Ok(mut in_a), Ok(mut in_b)) = (a.values(), b.values()) else { return false };
    loop {
        match (in_a.next(), in_b.next()) {
            (None, None) => return true,
            (Some(Ok(a)), Some(Ok(b))) => {
                if a.name().compare(b.name()) != Ordering::Equal || !same_value(&a, &b).unwrap_or(false) {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

/// Returns whether type and data of two values are the same.
fn same_value<A: HiveBytes, B: HiveBytes>(a: &Value<'_, A>, b: &Value<'_, B>) -> Result<bool> {
    let minors = (a.hive().base_block().minor_version.get(), b.hive().base_block().minor_version.get());
    if a.data_type() != b.data_type() || a.node().is_tombstone(minors.0) != b.node().is_tombstone(minors.1) {
        return Ok(false);
    }
    match (a.node().location(), b.node().location()) {
        (Location::Inline { bytes: a, size }, Location::Inline { bytes: b, size: size_b }) => {
            Ok(size == size_b && a[..size] == b[..size])
        }
        _ if a.size() != b.size() => Ok(false),
        _ => Ok(a.raw_data()? == b.raw_data()?),
    }
}
