//! Why there is no TLS connection, and what to do, in words of our own.

use std::time::{Duration, UNIX_EPOCH};

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error};

use crate::message::printable;

/// A message shows at most this many names of a certificate, which may have hundreds.
const MOST_NAMES: usize = 5;

/// Why there is no connection, as a part of a sentence.
pub(in crate::cli) fn reason(error: &Error) -> String {
    let fixed = match error {
        Error::InvalidCertificate(error) => {
            return format!("the certificate of the gateway {}", certificate(error));
        }
        Error::AlertReceived(alert) => return refusal(*alert),
        Error::InvalidMessage(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerSentOversizedRecord => {
            "there is no TLS in what comes back (is the URL one with http:// instead?)"
        }
        Error::NoCertificatesPresented => "the gateway shows no certificate",
        Error::PeerIncompatible(_) => {
            "the gateway has no version of TLS (1.2 or 1.3), or no cipher, in common with this program"
        }
        Error::PeerMisbehaved(_) | Error::DecryptError => {
            "what comes back breaks the rules of TLS: the gateway sends it so, or something in between changes it"
        }
        Error::FailedToGetCurrentTime => {
            "the system gives no time, without which no certificate can be checked"
        }
        Error::FailedToGetRandomBytes => "the system gives no random bytes",
        Error::UnsupportedNameType => "the host in the URL is no name that a certificate can have",
        _ => "a TLS connection is not possible",
    };
    fixed.to_owned()
}

/// What is wrong with the certificate of a gateway.
fn certificate(error: &CertificateError) -> String {
    let fixed = match error {
        CertificateError::ExpiredContext { time, not_after } => {
            return format!("expired at {}, and it is {} now: renew it", date(*not_after), date(*time));
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            return format!(
                "is valid only from {} on, and it is {} now: is the clock of this machine right?",
                date(*not_before),
                date(*time)
            );
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            return format!("is not for {}, {}", printable(&expected.to_str()), names(presented));
        }
        CertificateError::Expired => "has expired: renew it",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "is not for servers: its extended key usage leaves serverAuth out"
        }
        CertificateError::BadEncoding | CertificateError::UnhandledCriticalExtension => {
            "is malformed, or of a kind that this program can't check"
        }
        CertificateError::BadSignature => {
            "is not trusted: the authority that it names has not signed it (--cacert names the certificates to trust)"
        }
        // Only `healthcheck`, which knows the gateway's settings, gets this error.
        CertificateError::ApplicationVerificationFailure => "is not the one in the web configuration",
        _ => "is not trusted: name its authority, or the certificate itself, with --cacert",
    };
    fixed.to_owned()
}

/// A time in the form `2026-11-28T21:00:00Z`, as in logs.
fn date(time: UnixTime) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(time.as_secs())).to_string()
}

/// The names that a certificate is for, which the library gives as `DnsName("localhost")` and `IpAddress(127.0.0.1)`.
fn names(presented: &[String]) -> String {
    let bare = |name: &String| {
        let inside = name.strip_prefix("DnsName(").or_else(|| name.strip_prefix("IpAddress("))?;
        Some(printable(inside.trim_end_matches(')').trim_matches('"')).into_owned())
    };
    let mut names: Vec<_> = presented.iter().filter_map(bare).collect();
    if names.is_empty() {
        return "and for no other host: it has none in its subjectAltName".to_owned();
    }
    let more = if names.len() > MOST_NAMES { " and others" } else { "" };
    names.truncate(MOST_NAMES);
    format!("but for {}{more}: name the gateway so in the URL", names.join(", "))
}

/// What a gateway means by an alert.
fn refusal(alert: AlertDescription) -> String {
    let about_client = match alert {
        AlertDescription::CertificateRequired => {
            return "the gateway wants a client certificate: name one with --cert and --key".to_owned();
        }
        AlertDescription::UnknownCA => ": it does not know the authority",
        AlertDescription::CertificateExpired => ": it has expired",
        AlertDescription::CertificateRevoked => ": it is revoked",
        AlertDescription::UnsupportedCertificate => ": it is of the wrong kind",
        AlertDescription::AccessDenied => ": it gives no access",
        _ => "",
    };
    if is_about_client(alert) {
        return format!(
            "the gateway refuses the client certificate{about_client} (--cert and --key name one)"
        );
    }
    match alert {
        AlertDescription::ProtocolVersion => "the gateway speaks neither TLS 1.2 nor TLS 1.3".to_owned(),
        AlertDescription::HandshakeFailure => {
            "the gateway has no cipher in common with this program, or wants a \
                                               client certificate (--cert and --key name one)"
                .to_owned()
        }
        AlertDescription::UnrecognisedName => "nobody has the name of the host in the URL there".to_owned(),
        alert => format!("the gateway has ended the TLS connection (alert {})", u8::from(alert)),
    }
}

/// Whether an alert is about the certificate of the client.
pub(in crate::cli) fn is_about_client(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::AccessDenied
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::UnsupportedCertificate
    )
}

#[cfg(test)]
mod tests {
    use rustls::OtherError;
    use rustls::pki_types::ServerName;

    use super::*;

    #[test]
    fn names_are_shown_bare() {
        let expected = ServerName::try_from("10.0.0.1").unwrap();
        let with = |presented: &[&str]| {
            let presented = presented.iter().map(ToString::to_string).collect();
            certificate(&CertificateError::NotValidForNameContext { expected: expected.clone(), presented })
        };
        assert_eq!(
            with(&["DnsName(\"a.example\")", "IpAddress(::1)"]),
            "is not for 10.0.0.1, but for a.example, ::1: name the gateway so in the URL"
        );
        for none in [&[][..], &["DirectoryName"]] {
            assert_eq!(
                with(none),
                "is not for 10.0.0.1, and for no other host: it has none in its subjectAltName"
            );
        }
        let many = with(&["DnsName(\"x\")"; 9]);
        assert!(many.contains("but for x, x, x, x, x and others: "), "{many}");
    }

    #[test]
    fn dates_are_those_of_logs() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        assert_eq!(
            certificate(&CertificateError::ExpiredContext { time: at(86_400), not_after: at(1) }),
            "expired at 1970-01-01T00:00:01Z, and it is 1970-01-02T00:00:00Z now: renew it"
        );
    }

    #[test]
    fn no_words_of_the_library_are_shown() {
        let other = || OtherError(std::sync::Arc::new(std::io::Error::other("CaUsedAsEndEntity")));
        let errors = [
            Error::InvalidCertificate(CertificateError::Other(other())),
            Error::InvalidCertificate(CertificateError::UnknownIssuer),
            Error::InvalidCertificate(CertificateError::BadSignature),
            Error::InvalidCertificate(CertificateError::InvalidPurpose),
            Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType),
            Error::PeerIncompatible(rustls::PeerIncompatible::NoCipherSuitesInCommon),
            Error::General("NoCipherSuites".to_owned()),
            Error::Other(other()),
        ];
        let alerts = (0..=255).map(|number| Error::AlertReceived(AlertDescription::from(number)));
        for error in errors.into_iter().chain(alerts) {
            let reason = reason(&error);
            // Such as UnknownIssuer.
            let is_joined = |word: &str| {
                let lower = word.find(|c: char| c.is_ascii_lowercase()).unwrap_or(word.len());
                word.get(lower..).is_some_and(|rest| rest.contains(|c: char| c.is_ascii_uppercase()))
            };
            let joined = reason.split_whitespace().find(|word| is_joined(word) && *word != "serverAuth");
            assert_eq!(joined, None, "{error:?}: {reason}");
        }
    }
}
