//! How many sources have the series of a row, and the values that all of them come to.

use crate::model::sum::Sum;
use crate::store::piece::{Piece, Rows};

impl Piece {
    /// How many sources have the series of a row.
    pub fn holders(&self, at: usize) -> u32 {
        self.columns.holders().get(at).copied().unwrap_or(0)
    }

    /// One more source has the series of a row.
    pub fn gain_holder(&mut self, at: usize) {
        self.columns.gain_holder(at);
    }

    /// A source has the series of a row no more. Whether it was the last.
    pub fn lose_holder(&mut self, at: usize) -> bool {
        self.columns.lose_holder(at)
    }

    /// Forgets how many sources have its series.
    pub fn forget_holders(&mut self) {
        self.columns.set_holders(Vec::new());
    }

    /// Takes the numbers of sources of a piece that has its first rows.
    pub(in crate::store) fn take_holders_of(&mut self, other: &Piece) {
        self.columns.set_holders(other.columns.holders().to_vec());
    }

    /// The same piece with these numbers of sources.
    pub fn with_holders(mut self, counts: impl Iterator<Item = u32>) -> Piece {
        let counts: Vec<u32> = counts.collect();
        let has_some = counts.iter().any(|count| *count > 0);
        self.columns.set_holders(if has_some { counts } else { Vec::new() });
        self
    }

    /// The same rows with other numbers; `value` gives that of a row.
    pub fn with_numbers(&self, mut value: impl FnMut(usize, f64) -> f64) -> Piece {
        let mut piece = self.clone();
        piece.forget_holders();
        if let Rows::Numbers(rows) = &mut piece.rows {
            for (at, row) in rows.iter_mut().enumerate() {
                row.value = Sum::new(value(at, row.value.value()));
            }
        }
        piece
    }
}

#[cfg(test)]
mod tests {
    use bumpalo::Bump;

    use super::*;
    use crate::exposition::openmetrics;
    use crate::exposition::text::Names;
    use crate::model::exemplar::Exemplars;
    use crate::model::grouping::{Grouping, GroupingLabel};
    use crate::model::kind::Form;
    use crate::model::merge::Merge;
    use crate::model::push::Push;
    use crate::model::time::Moment;
    use crate::store::piece::Fresh;
    use crate::store::shareable::Shareable;

    /// What happens to a piece that has an exemplar of row 0, and two sources of row 1.
    type Change = fn(Piece) -> Piece;

    fn with_push<T>(body: &str, done: impl FnOnce(&Push) -> T) -> T {
        let grouping = Grouping::new(vec![GroupingLabel { name: "job".into(), value: "a".into() }]);
        let arena = Bump::new();
        let parsed = openmetrics::parse(body.as_bytes(), Names::Legacy, &arena).unwrap();
        done(&Push::prepare(&parsed, &grouping, true).unwrap())
    }

    fn piece() -> Piece {
        let body = "# TYPE c counter\nc_total{n=\"1\"} 1 # {id=\"1\"} 1 3.0\nc_total{n=\"2\"} 1\n# EOF\n";
        let mut piece = Piece::new(Form::Number);
        with_push(body, |push| {
            let series = push.families().iter().flat_map(|family| push.series(family));
            let series: Vec<_> = series.map(|series| Fresh { block: push.block(series), series }).collect();
            piece.append(push, &series, Merge::Last, Moment::at(1), &mut Shareable::default(), None);
        });
        piece.with_holders([0, 2].into_iter())
    }

    fn replaced(mut piece: Piece) -> Piece {
        with_push("# TYPE c counter\nc_total{n=\"1\"} 1\n# EOF\n", |push| {
            let series = push.families().iter().flat_map(|family| push.series(family)).map(|one| (0, one));
            piece.update(push, series, Merge::Last, Moment::at(2), None);
        });
        piece
    }

    fn forgotten(mut piece: Piece) -> Piece {
        piece.forget_holders();
        piece
    }

    #[test]
    fn counts_and_exemplars_of_a_piece_do_not_depend_on_each_other() {
        // The exemplars of row 0 and the sources of row 1 afterwards.
        let cases: [(Change, (usize, u32)); 8] = [
            (|piece| piece, (1, 2)),
            (replaced, (0, 2)),
            (forgotten, (1, 0)),
            (|piece| piece.with_exemplars(Exemplars::default()), (0, 2)),
            (|piece| piece.with_holders([0, 0].into_iter()), (1, 0)),
            (|piece| piece.with_numbers(|_, value| value), (1, 0)),
            (|piece| forgotten(replaced(piece)), (0, 0)),
            (|piece| replaced(forgotten(piece)), (0, 0)),
        ];
        for (at, (change, expected)) in cases.into_iter().enumerate() {
            let piece = change(piece());
            assert_eq!((piece.exemplars(0).len(), piece.holders(1)), expected, "case {at}");
            assert_eq!(!piece.columns.is_empty(), expected != (0, 0), "case {at}");
        }
    }

    #[test]
    fn the_last_source_is_known() {
        let mut piece = piece();
        piece.gain_holder(0);
        let lost = [1, 0, 1, 1].map(|row| piece.lose_holder(row));
        assert_eq!(lost, [false, true, true, false]);
    }
}
