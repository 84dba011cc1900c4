//! Rearranging a body: its series get other labels, values and families, or go into another body.
//!
//! A series keeps its handle while it stays in its body, and with it its exemplars and its start time.

use super::{Body, Composite, END, Family, Label, Value, append, follow};
use crate::model::labels::EmptyLabels;

impl<'a> Body<'a> {
    /// An empty body that is read as this one.
    pub fn sibling(&self) -> Body<'a> {
        let empty = Body::with_capacity(0, 0).within(self.limits).with_empty_labels(self.empty_labels);
        Body { families: Vec::new(), ..empty }
    }

    /// What labels with empty values are.
    pub fn empty_labels(&self) -> EmptyLabels {
        self.empty_labels
    }

    /// Takes all series out of a family. They belong to none until [`Body::put_series`] puts them into one.
    pub fn take_series(&mut self, family: usize) -> Vec<u32> {
        let chain = std::mem::take(&mut self.families[family].series);
        follow(&self.series, chain).map(|(handle, _)| handle).collect()
    }

    /// Puts a series that was taken out of its family at the end of this one.
    pub fn put_series(&mut self, handle: u32, family: usize) {
        let chain = &mut self.families[family].series;
        if chain.is_empty() {
            chain.first = handle;
        } else if let Some(last) = self.series.get_mut(chain.last as usize) {
            last.next = handle;
        }
        chain.last = handle;
        chain.len += 1;
        let linked = &mut self.series[handle as usize];
        (linked.item.family, linked.next) = (family as u32, END);
    }

    /// Gives a series other labels.
    pub fn set_labels(&mut self, handle: u32, labels: impl IntoIterator<Item = Label<'a>>) {
        let start = self.labels.len() as u32;
        self.labels.extend(labels);
        self.series[handle as usize].item.labels = (start, self.labels.len() as u32);
    }

    /// Makes a number a histogram or summary without any of its parts.
    pub fn make_composite(&mut self, handle: u32) {
        let number = self.composites.len() as u32;
        self.composites.push(Composite::default());
        self.series[handle as usize].item.value = Value::Composite(number);
    }

    /// Adds all that a series has to the family at `family` of another body.
    pub fn copy_series(&self, handle: u32, to: &mut Body<'a>, family: usize) {
        let series = self.series(handle);
        let mark = to.labels.len();
        to.labels.extend_from_slice(self.labels_of(series));
        to.has_empty_labels |= self.has_empty_labels;
        to.has_dropped_labels |= self.has_dropped_labels;
        let copy = to.push_series(family, mark, series.value, series.offset);
        to.series_mut(copy).has_timestamp = series.has_timestamp;
        if let Value::Composite(number) = series.value {
            self.copy_composite(number, to, copy);
        }
        for exemplar in self.exemplars_of(handle) {
            let mark = to.labels.len();
            to.labels.extend_from_slice(self.exemplar_labels(exemplar));
            to.push_exemplar(copy, exemplar.place, mark, exemplar.value, exemplar.at);
        }
        if let Some(start) = self.start_of(handle) {
            to.push_start(copy, start);
        }
    }

    fn copy_composite(&self, number: u32, to: &mut Body<'a>, copy: u32) {
        let &Composite { sum, count, is_repeated, buckets, quantiles, native } = self.composite(number);
        let mut composite = Composite { sum, count, is_repeated, ..Composite::default() };
        for (_, bucket) in follow(&self.buckets, buckets) {
            append(&mut to.buckets, &mut composite.buckets, *bucket);
        }
        for (_, quantile) in follow(&self.quantiles, quantiles) {
            append(&mut to.quantiles, &mut composite.quantiles, *quantile);
        }
        if let Some(native) = native.and_then(|at| self.natives.get(at as usize)) {
            composite.native = Some(to.natives.len() as u32);
            to.natives.push(native.clone());
        }
        to.series_mut(copy).value = Value::Composite(to.composites.len() as u32);
        to.composites.push(composite);
    }

    /// Removes families.
    pub fn retain_families(&mut self, mut keeps: impl FnMut(usize, &Family<'a>) -> bool) {
        let mut at = 0..;
        self.families.retain(|family| at.next().is_some_and(|at| keeps(at, family)));
        for (number, family) in (0..).zip(&self.families) {
            let mut next = family.series.first;
            while let Some(linked) = self.series.get_mut(next as usize) {
                if linked.item.family == number {
                    break;
                }
                linked.item.family = number;
                next = linked.next;
            }
        }
    }
}
