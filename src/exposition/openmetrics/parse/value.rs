//! Parses the rest of a sample line behind the labels: value, timestamp, exemplar.

use super::*;

impl<'a> Parser<'a> {
    /// The value, an optional timestamp, an optional exemplar. Returns the handle of the series, unless the value is
    /// its start time.
    #[inline]
    pub(super) fn value(
        &mut self,
        line: &mut Cursor<'a>,
        start: usize,
        (family, sample): (usize, Sample),
        owner: Owner,
        member: Member,
    ) -> Result<Option<u32>, Fault> {
        self.blank(line)?;
        self.assembly.body.count_sample().map_err(|much| line.too_much(start, much))?;
        let value_at = line.at;
        let number = |line: &Cursor<'a>, token: &[u8]| {
            parse_f64(token).ok_or_else(|| {
                line.fault(value_at, format!("expected a number as value, got {}", quote(token)))
            })
        };
        let role = match sample {
            Sample::Value(role) => role,
            Sample::Created => {
                let token = line.token();
                number(line, token)?;
                let nanos = parse_time(token)
                    .ok_or_else(|| line.fault(value_at, format!("invalid start time {}", quote(token))))?;
                let has_timestamp = self.timestamp(line)?;
                self.start(family, owner, start, nanos, has_timestamp)?;
                return Ok(None);
            }
        };
        let value = match line.take_short_decimal() {
            Some(value) => value,
            None => {
                let token = line.token();
                number(line, token)?
            }
        };
        let kind = self.assembly.kind(family);
        self.check(line, (start, value_at), kind, (owner, member), role, value)?;
        let handle = self.assembly.record(start, (family, role), owner, member, value).map_err(|what| {
            let name = quote(self.current.name.as_bytes());
            line.fault(value_at, format!("negative {what} for histogram {name}"))
        })?;
        if line.is_blank_to_end_of_line() {
            return Ok(Some(handle));
        }
        if self.timestamp(line)? {
            self.assembly.body.series_mut(handle).has_timestamp = true;
        }
        if line.is_blank_to_end_of_line() {
            return Ok(Some(handle));
        }
        let place = match (kind, role, member) {
            (Kind::Counter, _, _) => Some(Place::Value),
            (Kind::Histogram | Kind::GaugeHistogram, Role::Plain, Member::Bound(bound)) => {
                Some(Place::Bucket(bound))
            }
            _ => None,
        };
        self.exemplar(line, handle, place)?;
        Ok(Some(handle))
    }

    /// Parses a timestamp. False if there is none.
    fn timestamp(&mut self, line: &mut Cursor<'a>) -> Result<bool, Fault> {
        if line.is_at(b" # ") || line.is_blank_to_end_of_line() {
            return Ok(false);
        }
        self.blank(line)?;
        let at = line.at;
        let token = line.token();
        match parse_time(token) {
            Some(_) => Ok(true),
            None => Err(line.fault(at, format!("expected a timestamp, got {}", quote(token)))),
        }
    }

    /// Parses ` # {labels} value timestamp`.
    fn exemplar(&mut self, line: &mut Cursor<'a>, handle: u32, place: Option<Place>) -> Result<(), Fault> {
        let start = line.at + 1;
        if !line.is_at(b" # {") {
            return Err(line.fault(start, "expected an exemplar or the end of the line"));
        }
        let Some(place) = place else {
            return Err(line.fault(start, "only counters and the buckets of histograms have exemplars"));
        };
        line.at += 4;
        let mark = self.assembly.body.label_mark();
        while line.peek() != b'}' {
            let name = self.label_name(line)?;
            let (label, at) = self.label(line, name)?;
            self.assembly.body.push_exemplar_label(label).map_err(|much| line.too_much(at, much))?;
        }
        line.at += 1;
        self.check_labels(line, start, mark)?;
        self.blank(line)?;
        let value_at = line.at;
        let token = line.token();
        let value = parse_f64(token).ok_or_else(|| {
            line.fault(value_at, format!("expected a number as value of the exemplar, got {}", quote(token)))
        })?;
        let mut at = None;
        if !line.is_blank_to_end_of_line() {
            self.blank(line)?;
            let time_at = line.at;
            let token = line.token();
            let time = parse_time(token)
                .ok_or_else(|| line.fault(time_at, format!("expected a timestamp, got {}", quote(token))))?;
            at = Some(time);
        }
        self.assembly.body.push_exemplar(handle, place, mark, value, at);
        Ok(())
    }

    /// Notes the start time of a series.
    fn start(
        &mut self,
        family: usize,
        owner: Owner,
        start: usize,
        nanos: i64,
        has_timestamp: bool,
    ) -> Result<(), Fault> {
        let handle = match owner {
            Owner::Known(handle) => handle,
            Owner::LabelsSince(mark) if self.assembly.kind(family).form() == Form::Number => {
                let labels = self.assembly.body.labels_since(mark).to_vec();
                self.assembly.body.drop_labels(mark);
                self.current.starts.push(SeriesStart { labels, nanos, has_timestamp });
                return Ok(());
            }
            Owner::LabelsSince(mark) => self.assembly.composite(family, mark, start),
        };
        self.assembly.body.push_start(handle, nanos);
        self.assembly.body.series_mut(handle).has_timestamp |= has_timestamp;
        Ok(())
    }
}
