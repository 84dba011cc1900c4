//! Builds a rustls configuration from the web configuration.
//!
//! A configuration is built and replaced as a whole, together with its resumable sessions. So no session from
//! before a change is resumed after it. If clients are asked for certificates, no session is resumed at all.

mod accept;
mod client;
mod pem;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, Error, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};

use crate::config::web::{ClientAuth, Curve, Tls, TlsVersion};
pub(super) use accept::admit;

/// Why TLS can't be used as configured. Keeps the messages of the exporter toolkit.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("failed to read {key} ({}): {reason}", path.display())]
    Unreadable {
        /// The key in the web configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system.
        reason: String,
    },
    /// The certificate or the key can't be used, or they do not belong together.
    #[error("failed to load X509KeyPair: tls: {0}")]
    KeyPair(String),
    /// The authorities for client certificates can't be used.
    #[error("{key}: {reason}")]
    ClientCa {
        /// The key in the web configuration.
        key: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// rustls refuses the combination.
    #[error("tls_server_config: {0}")]
    Settings(#[from] Error),
}

/// Reads certificates and keys and builds the configuration.
///
/// # Errors
///
/// If a file can't be read, or the settings contradict each other.
pub(super) fn server_config(settings: &Tls) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(provider(settings));
    let key_pair = key_pair(settings, &provider)?;
    let clients = client::verifier(settings, &provider)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(settings))?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key_pair)));
    // HTTP/2 is never offered, because actix-web depends on a version of h2 with an open advisory.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if settings.client_auth != ClientAuth::None {
        // A resumed session would keep a client certificate without checking it again, even after it has expired.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(Arc::new(config))
}

fn key_pair(settings: &Tls, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let cert = pem::read(&settings.cert, "cert_file")?;
    let key = pem::read(&settings.key, "key_file")?;
    let cert = pem::certificates(&cert).map_err(|reason| {
        TlsError::KeyPair(format!("failed to find any PEM data in certificate input: {reason}"))
    })?;
    let key = pem::private_key(&key)
        .map_err(|reason| TlsError::KeyPair(format!("failed to find any PEM data in key input: {reason}")))?;
    CertifiedKey::from_der(cert, key, provider).map_err(|error| {
        TlsError::KeyPair(match error {
            Error::InconsistentKeys(_) => "private key does not match public key".to_owned(),
            other => other.to_string(),
        })
    })
}

fn versions(settings: &Tls) -> Vec<&'static SupportedProtocolVersion> {
    let all = [(TlsVersion::Tls12, &TLS12), (TlsVersion::Tls13, &TLS13)];
    let wanted = settings.min_version..=settings.max_version;
    all.into_iter().filter(|(version, _)| wanted.contains(version)).map(|(_, version)| version).collect()
}

fn provider(settings: &Tls) -> CryptoProvider {
    let mut provider = ring::default_provider();
    if !settings.cipher_suites.is_empty() {
        let suites = provider.cipher_suites;
        let chosen = settings.cipher_suites.iter().filter_map(|name| {
            suites.iter().find(|suite| suite.tls13().is_none() && is_called(suite, name)).copied()
        });
        // As in Go, the list applies to TLS 1.2 only.
        let newest = suites.iter().filter(|suite| suite.tls13().is_some()).copied();
        provider.cipher_suites = newest.chain(chosen).collect();
    }
    if !settings.curves.is_empty() {
        provider.kx_groups = settings.curves.iter().map(|curve| group(*curve)).collect();
    }
    provider
}

/// Whether this is Go's name of a suite. rustls marks TLS 1.3 in its names.
fn is_called(suite: &SupportedCipherSuite, name: &str) -> bool {
    match suite.suite() {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => name == "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => name == "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => name == "TLS_CHACHA20_POLY1305_SHA256",
        other => other.as_str() == Some(name),
    }
}

fn group(curve: Curve) -> &'static dyn SupportedKxGroup {
    match curve {
        Curve::P256 => ring::kx_group::SECP256R1,
        Curve::P384 => ring::kx_group::SECP384R1,
        Curve::X25519 => ring::kx_group::X25519,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::web::CIPHERS;

    #[test]
    fn every_suite_that_may_be_configured_is_there() {
        let suites = ring::default_provider().cipher_suites;
        for name in CIPHERS {
            assert_eq!(suites.iter().filter(|suite| is_called(suite, name)).count(), 1, "{name}");
        }
        assert_eq!(suites.len(), CIPHERS.len());
    }
}
