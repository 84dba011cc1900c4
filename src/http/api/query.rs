//! Parses the query parameters of the API.

use std::fmt::Display;

use actix_web::web::Query;

use crate::gateway::browse::{
    GroupFilter, GroupQuery, GroupSort, SeriesFilter, SourceQuery, SourceSort, TooManyWords, Window,
};
use crate::message::Excerpt;

/// Groups on a page: default and maximum.
const GROUPS: (usize, usize) = (50, 500);

/// Sources on a page: default and maximum.
const SOURCES: (usize, usize) = (100, 1000);

/// Series on a page: default and maximum.
const SERIES: (usize, usize) = (100, 1000);

/// A parameter is not valid.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid parameter {name:?}: {problem}")]
pub(super) struct BadParameter {
    name: &'static str,
    problem: String,
}

fn bad(name: &'static str, problem: impl Display) -> BadParameter {
    BadParameter { name, problem: problem.to_string() }
}

/// A query for series of a family.
#[derive(Debug)]
pub(super) struct SeriesQuery {
    pub(super) family: String,
    pub(super) words: SeriesFilter,
    pub(super) window: Window,
}

/// Parses the query of a list of groups.
pub(super) fn groups(query: &str) -> Result<GroupQuery, BadParameter> {
    let parameters = Parameters::of(query);
    Ok(GroupQuery {
        words: parameters.words(GroupFilter::parse)?,
        sort: parameters.choice(
            "sort",
            &[
                ("name", GroupSort::Name),
                ("pushed", GroupSort::Pushed),
                ("size", GroupSort::Size),
                ("pushes", GroupSort::Pushes),
            ],
        )?,
        is_descending: parameters.order()?,
        window: parameters.window(GROUPS)?,
    })
}

/// Parses the query of a list of series.
pub(super) fn series(query: &str) -> Result<SeriesQuery, BadParameter> {
    let parameters = Parameters::of(query);
    Ok(SeriesQuery {
        family: parameters.family()?.to_owned(),
        words: parameters.words(SeriesFilter::parse)?,
        window: parameters.window(SERIES)?,
    })
}

/// Parses the query of a list of sources.
pub(super) fn sources(query: &str) -> Result<SourceQuery, BadParameter> {
    let parameters = Parameters::of(query);
    let sorts: [(&str, Option<SourceSort>); 4] = [
        ("name", Some(SourceSort::Name)),
        ("pushed", Some(SourceSort::Pushed)),
        ("pushes", Some(SourceSort::Pushes)),
        ("value", None),
    ];
    let sort = match parameters.choice("sort", &sorts)? {
        Some(sort) => sort,
        None => SourceSort::Value(parameters.family()?.to_owned()),
    };
    Ok(SourceQuery { sort, is_descending: parameters.order()?, window: parameters.window(SOURCES)? })
}

/// The parameters of a query. Unknown ones are ignored.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn of(query: &str) -> Parameters {
        Parameters(Query::from_query(query).map(Query::into_inner).unwrap_or_default())
    }

    /// The first parameter of this name. `None` if it is empty.
    fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        Some(&**value).filter(|value| !value.is_empty())
    }

    fn words<W>(&self, parse: impl Fn(&str) -> Result<W, TooManyWords>) -> Result<W, BadParameter> {
        parse(self.get("q").unwrap_or_default()).map_err(|error| bad("q", error))
    }

    fn family(&self) -> Result<&str, BadParameter> {
        self.get("family").ok_or_else(|| bad("family", "it must name a family"))
    }

    /// Whether the order is descending.
    fn order(&self) -> Result<bool, BadParameter> {
        self.choice("order", &[("asc", false), ("desc", true)])
    }

    /// The choice that the parameter names. The first one if it is not given.
    fn choice<C: Clone>(&self, name: &'static str, choices: &[(&str, C)]) -> Result<C, BadParameter> {
        let wanted = self.get(name);
        let choice = choices.iter().find(|(choice, _)| wanted.is_none_or(|wanted| wanted == *choice));
        choice.map(|(_, choice)| choice.clone()).ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(choice, _)| *choice).collect();
            bad(
                name,
                format_args!("{:?} is none of {}", Excerpt::of(wanted.unwrap_or_default()), names.join(", ")),
            )
        })
    }

    fn window(&self, (usual, most): (usize, usize)) -> Result<Window, BadParameter> {
        let limit = self.number("limit", usual)?.min(most);
        Ok(Window { offset: self.number("offset", 0)?, limit })
    }

    fn number(&self, name: &'static str, usual: usize) -> Result<usize, BadParameter> {
        let Some(text) = self.get(name) else { return Ok(usual) };
        let is_number = text.bytes().all(|b| b.is_ascii_digit());
        text.parse()
            .ok()
            .filter(|_| is_number)
            .ok_or_else(|| bad(name, format_args!("{:?} is no number", Excerpt::of(text))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_need_be_said() {
        for query in ["", "q=&sort=&order=&offset=&limit=", "unknown=1&&=&%zz"] {
            let groups = groups(query).unwrap();
            assert_eq!((groups.sort, groups.is_descending), (GroupSort::Name, false), "{query}");
            assert_eq!(groups.window, Window { offset: 0, limit: 50 }, "{query}");
        }
        let series = series("family=f").unwrap();
        assert_eq!((&*series.family, series.window), ("f", Window { offset: 0, limit: 100 }));
        assert!(series.words.is_empty());
    }

    #[test]
    fn what_is_said_counts() {
        let groups =
            groups("sort=pushes&order=desc&offset=18446744073709551615&limit=501&sort=size").unwrap();
        assert_eq!((groups.sort, groups.is_descending), (GroupSort::Pushes, true));
        assert_eq!(groups.window, Window { offset: usize::MAX, limit: 500 });
        let series = series("limit=0&family=a%2Fb+%C3%A4&q=%22").unwrap();
        assert_eq!((&*series.family, series.window.limit), ("a/b ä", 0));
        assert!(!series.words.is_empty());
    }

    #[test]
    fn sources_are_sorted_by_the_values_of_a_family() {
        let sort = |query: &str| sources(query).map(|query| (query.sort, query.is_descending));
        assert_eq!(sort(""), Ok((SourceSort::Name, false)));
        assert_eq!(sort("sort=pushed&order=desc"), Ok((SourceSort::Pushed, true)));
        let value = SourceSort::Value("queue depth".to_owned());
        assert_eq!(sort("sort=value&family=queue+depth&order=desc"), Ok((value, true)));
        let error = |query: &str| sort(query).unwrap_err().to_string();
        assert_eq!(error("sort=value"), r#"invalid parameter "family": it must name a family"#);
        let expected = r#"invalid parameter "sort": "size" is none of name, pushed, pushes, value"#;
        assert_eq!(error("sort=size"), expected);
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (query, expected) in [
            ("sort=Name", r#"invalid parameter "sort": "Name" is none of name, pushed, size, pushes"#),
            ("order=up", r#"invalid parameter "order": "up" is none of asc, desc"#),
            ("offset=-1", r#"invalid parameter "offset": "-1" is no number"#),
            ("limit=%2B1", r#"invalid parameter "limit": "+1" is no number"#),
            ("limit=1e3", r#"invalid parameter "limit": "1e3" is no number"#),
            (
                "limit=18446744073709551616",
                r#"invalid parameter "limit": "18446744073709551616" is no number"#,
            ),
        ] {
            assert_eq!(groups(query).unwrap_err().to_string(), expected);
        }
        assert!(groups(&format!("q={}", "a+".repeat(33))).is_err());
        assert!(series("family=f&limit=x").is_err());
        assert_eq!(
            series("family=").unwrap_err().to_string(),
            r#"invalid parameter "family": it must name a family"#
        );
    }
}
