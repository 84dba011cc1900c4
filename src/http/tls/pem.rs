//! Certificates and keys in PEM.

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsError;
use crate::config::regular::{self, Links};
use crate::config::web::{Pem, system_error};

/// Reads the text, from a file if it is in one.
pub(super) fn read(pem: &Pem, key: &'static str) -> Result<Vec<u8>, TlsError> {
    match pem {
        Pem::Inline(text) => Ok(text.expose().as_bytes().to_vec()),
        Pem::File(path) => regular::read(path, Links::Followed).map_err(|error| {
            let reason = system_error("open", path, &error);
            TlsError::Unreadable { key, path: path.clone(), reason }
        }),
    }
}

/// Parses one or more certificates.
pub(super) fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>().map_err(|error| reason(&error))?;
    if certificates.is_empty() {
        return Err("there is no certificate in it".to_owned());
    }
    Ok(certificates)
}

/// Parses a private key: PKCS #8, PKCS #1 or SEC 1.
pub(super) fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound if text.windows(9).any(|word| word == b"ENCRYPTED") => {
            "the key is encrypted with a pass phrase".to_owned()
        }
        pem::Error::NoItemsFound => "there is no private key in it".to_owned(),
        other => reason(&other),
    })
}

/// What is wrong, without quoting the content.
fn reason(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no end".to_owned(),
        pem::Error::IllegalSectionStart { .. } => "a section has a malformed beginning".to_owned(),
        pem::Error::Base64Decode(_) => "a section is no base64".to_owned(),
        _ => "it is malformed".to_owned(),
    }
}
