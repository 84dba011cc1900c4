//! The `Content-Type` of a request.

/// A media type with its parameters.
#[derive(Clone, Copy, Debug)]
pub(super) struct MediaType<'a> {
    name: &'a str,
    parameters: &'a str,
}

impl<'a> MediaType<'a> {
    /// Parses this header.
    pub(super) fn of(content_type: &'a str) -> MediaType<'a> {
        let (name, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        MediaType { name: name.trim(), parameters }
    }

    /// Whether the media type has this name. Case does not matter.
    pub(super) fn is(self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The value of the first parameter of this name, without quotes.
    pub(super) fn parameter(self, wanted: &str) -> Option<&'a str> {
        let mut parameters = self.parameters.split(';').filter_map(|part| part.trim().split_once('='));
        let (_, value) = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))?;
        Some(value.trim().trim_matches('"'))
    }
}
