//! Converts rows to the piece that they describe, if they are consistent.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::*;

/// The exemplars of a piece with `len` rows. `None` if one belongs to a row that does not exist.
fn exemplars(rows: Vec<ExemplarRow<Box<str>>>, len: usize) -> Option<Exemplars> {
    let mut exemplars = Exemplars::default();
    for ExemplarRow { series, place, block, value, at } in rows {
        if series as usize >= len {
            return None;
        }
        let place = match place {
            PlaceRow::Value => Place::Value,
            PlaceRow::Bucket(bound) => Place::Bucket(bound),
            PlaceRow::Native => Place::Native,
        };
        exemplars.push(series, Placed { place, exemplar: Arc::new(Exemplar { block, value, at }) });
    }
    exemplars.sort();
    Some(exemplars)
}

fn count(row: &CountRow) -> RunningCount {
    match *row {
        CountRow::Int(n) => RunningCount::Int(n),
        CountRow::Float(x) => RunningCount::Float(Sum::new(x)),
        CountRow::Sum(high, low) => RunningCount::Float(Sum::from_parts((high, low))),
    }
}

fn summary(row: SummaryRow) -> Summary {
    let quantile = |(quantile, value): (f64, f64)| Quantile { quantile, value };
    Summary {
        sum: Sum::from_parts(row.sum),
        count: count(&row.count),
        quantiles: row.quantiles.into_iter().map(quantile).collect(),
    }
}

fn native_part(row: NativeRow) -> Option<NativePart> {
    let NativeRow { is_alone, schema, zero_threshold, thresholds_differ, absorbed, populations } = row;
    let populations = match populations {
        PopulationsRow::Int(SparseRow { zero, positive, negative }) => {
            Populations::Int(Sparse { zero, positive, negative })
        }
        PopulationsRow::Float(SparseRow { zero, positive, negative }) => {
            Populations::Float(Sparse { zero, positive, negative })
        }
    };
    let parts = Parts { schema, zero_threshold, thresholds_differ, absorbed, populations };
    Some(NativePart { histogram: NativeHistogram::from_parts(parts)?, is_alone })
}

fn histogram(row: HistogramRow<CountsRow>, layouts: &[Arc<Layout>]) -> Option<Histogram> {
    let part = |row: PartRow<CountsRow>| {
        let layout = layouts.get(row.layout as usize)?.clone();
        let (len, counts) = match row.counts {
            CountsRow::Int(counts) => (counts.len(), Counts::Int(counts)),
            CountsRow::Float(counts) => {
                (counts.len(), Counts::Float(counts.into_iter().map(Sum::new).collect()))
            }
            CountsRow::Sum(counts) => {
                (counts.len(), Counts::Float(counts.into_iter().map(Sum::from_parts).collect()))
            }
        };
        (len == layout.bounds().len()).then_some(Part { layout, counts, total: count(&row.total) })
    };
    let parts: Option<Vec<Part>> = row.parts.into_iter().map(part).collect();
    let native = match row.native {
        Some(row) => Some(native_part(row)?),
        None => None,
    };
    Some(Histogram::from_parts(parts?, Sum::from_parts(row.sum))?.with_native_part(native))
}

/// The bucket layouts that were read so far, so that series share them again.
#[derive(Debug, Default)]
pub(in crate::persistence) struct Layouts {
    by_bounds: HashMap<Box<[u64]>, Arc<Layout>, RandomState>,
}

impl Layouts {
    /// Lets series share the layouts of a piece.
    #[cfg(feature = "postgres")]
    pub(in crate::persistence) fn know(&mut self, piece: &Piece) {
        let Rows::Histograms(rows) = piece.rows() else { return };
        for part in rows.iter().flat_map(|row| row.value.parts()) {
            let bits = part.layout.bounds().iter().map(|bound| bound.to_bits()).collect();
            self.by_bounds.entry(bits).or_insert_with(|| part.layout.clone());
        }
    }

    fn shared(&mut self, bounds: &[f64]) -> Arc<Layout> {
        let bits: Box<[u64]> = bounds.iter().map(|bound| bound.to_bits()).collect();
        self.by_bounds.entry(bits).or_insert_with(|| Arc::new(Layout::of(bounds.into()))).clone()
    }
}

/// The label blocks of a piece, one after the other, and where each is and when its series began.
#[derive(Debug, Default)]
pub(in crate::persistence) struct Labels {
    blocks: String,
    series: Vec<(std::ops::Range<usize>, Start)>,
}

impl Labels {
    /// Those of a piece.
    #[cfg(feature = "postgres")]
    pub(in crate::persistence) fn of(piece: &Piece) -> Labels {
        let mut labels =
            Labels { blocks: piece.blocks().to_owned(), series: Vec::with_capacity(piece.len()) };
        let mut end = 0;
        for at in 0..piece.len() {
            let from = end;
            end += piece.block(at).len();
            labels.series.push((from..end, piece.start(at)));
        }
        labels
    }

    /// Those of a row. `None` if it is not consistent.
    pub(in crate::persistence) fn read(row: &LabelsRow<'_>) -> Option<Labels> {
        let mut blocks = String::new();
        let mut all = Vec::with_capacity(row.series.len());
        let mut before = 0..0usize;
        let mut start = 0i64;
        for series in &row.series {
            let from = blocks.len();
            let prefix = before.start..before.start.checked_add(series.prefix as usize)?;
            let suffix = before.end.checked_sub(series.suffix as usize)?..before.end;
            // The common prefix and suffix must be within the block before and must not overlap.
            if prefix.end > suffix.start || suffix.start < before.start {
                return None;
            }
            blocks.get(prefix.clone()).and(blocks.get(suffix.clone()))?;
            blocks.extend_from_within(prefix);
            blocks.push_str(series.middle);
            blocks.extend_from_within(suffix);
            start = start.wrapping_add(series.start);
            before = from..blocks.len();
            all.push((before.clone(), Start::from_code(start)));
        }
        Some(Labels { blocks, series: all })
    }
}

/// The piece with these labels and the values of a row. `None` if they do not go together.
pub(in crate::persistence) fn piece(labels: &Labels, row: ValuesRow, layouts: &mut Layouts) -> Option<Piece> {
    let piece = match row.values {
        Values::Nothing => None,
        Values::Numbers(sums, rest) => {
            let mut sums: Vec<(f64, f64)> = sums.into_iter().map(|high| (high, 0.0)).collect();
            for (at, low) in rest {
                sums.get_mut(at as usize)?.1 = low;
            }
            let values = sums.into_iter().map(|parts| OwnedValue::Number(Sum::from_parts(parts)));
            joined(Form::Number, labels, values)
        }
        Values::Summaries(values) => {
            let values = values.into_iter().map(|row| OwnedValue::Summary(summary(row)));
            joined(Form::Summary, labels, values)
        }
        Values::Histograms(bounds, values) => {
            let layouts: Vec<Arc<Layout>> = bounds.iter().map(|bounds| layouts.shared(bounds)).collect();
            let values: Option<Vec<OwnedValue>> =
                values.into_iter().map(|row| histogram(row, &layouts).map(OwnedValue::Histogram)).collect();
            joined(Form::Histogram, labels, values?.into_iter())
        }
    }?;
    let exemplars = exemplars(row.exemplars, piece.len())?;
    let piece = piece.with_exemplars(exemplars);
    let Some(lasting) = row.lasting else { return Some(piece) };
    if !lasting.pushed.is_empty() && lasting.pushed.len() != piece.len() {
        return None;
    }
    let pushed = lasting.pushed.iter().map(|less| less.wrapping_add(row.pushed_at));
    Some(piece.with_pushed(pushed.collect()))
}

fn joined(form: Form, labels: &Labels, values: impl ExactSizeIterator<Item = OwnedValue>) -> Option<Piece> {
    if labels.series.len() != values.len() || labels.series.is_empty() {
        return None;
    }
    let rows = labels.series.iter().zip(values);
    Some(Piece::of(form, rows.map(|((block, start), value)| (&labels.blocks[block.clone()], *start, value))))
}
