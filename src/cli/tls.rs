//! TLS of the commands: which certificates of gateways they trust, and which one they show.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::ext::pkix::ExtendedKeyUsage;

use super::connection::{ConnectionArguments, ConnectionError};
use crate::config::web::system_reason;
pub(super) use reason::{is_about_client, reason};

mod reason;

/// The purposes of a certificate that a server may show.
const FOR_SERVERS: [ObjectIdentifier; 2] =
    [ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1"), ObjectIdentifier::new_unwrap("2.5.29.37.0")];

/// How connections to an https URL are made.
pub(super) fn config(arguments: &ConnectionArguments) -> Result<Arc<ClientConfig>, ConnectionError> {
    let trusted = match &arguments.cacert {
        Some(path) => certificates("--cacert", path)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted.iter().cloned());
    if roots.is_empty() {
        return Err(match &arguments.cacert {
            Some(path) => wrong("--cacert", path, "no certificate in it can be used"),
            None => ConnectionError::NoAuthorities,
        });
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let chains = chains.build().map_err(|error| ConnectionError::Tls(error.to_string()))?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConnectionError::Tls(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trust { trusted, chains }));
    let Some(path) = &arguments.cert else { return Ok(Arc::new(builder.with_no_client_auth())) };
    let chain = certificates("--cert", path)?;
    let (key_flag, key_path) = arguments.key.as_ref().map_or(("--cert", path), |path| ("--key", path));
    let config =
        builder.with_client_auth_cert(chain, private_key(key_flag, key_path)?).map_err(
            |error| match error {
                Error::InconsistentKeys(_) => {
                    wrong(key_flag, key_path, "the private key is not that of the certificate of --cert")
                }
                Error::InvalidCertificate(_) => {
                    wrong("--cert", path, "the first certificate in it is malformed")
                }
                _ => wrong(key_flag, key_path, "the private key is none of RSA, ECDSA and Ed25519"),
            },
        )?;
    Ok(Arc::new(config))
}

fn wrong(flag: &'static str, path: &Path, reason: &str) -> ConnectionError {
    ConnectionError::File { flag, path: path.to_owned(), reason: reason.to_owned() }
}

fn read(flag: &'static str, path: &Path) -> Result<Vec<u8>, ConnectionError> {
    fs::read(path).map_err(|error| wrong(flag, path, &system_reason(&error)))
}

fn certificates(flag: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, ConnectionError> {
    let text = read(flag, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(wrong(flag, path, "there is no certificate in PEM in it")),
    }
}

fn private_key(flag: &'static str, path: &Path) -> Result<PrivateKeyDer<'static>, ConnectionError> {
    let text = read(flag, path)?;
    PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| wrong(flag, path, "there is no private key in PEM, without a pass phrase, in it"))
}

/// Accepts certificates that a trusted one has issued, and trusted certificates themselves, as curl
/// and Go do.
#[derive(Debug)]
struct Trust {
    trusted: Vec<CertificateDer<'static>>,
    chains: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.trusted.contains(end_entity) {
            let chains = &self.chains;
            return chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        }
        // The issuer does not matter. The certificate may be an authority itself, as openssl makes
        // them by default.
        check(end_entity, now)?;
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

/// Whether a server may show a certificate at this time.
fn check(certificate: &CertificateDer<'_>, time: UnixTime) -> Result<(), CertificateError> {
    let certificate = Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let content = certificate.tbs_certificate();
    let validity = content.validity();
    let not_before = UnixTime::since_unix_epoch(validity.not_before.to_unix_duration());
    let not_after = UnixTime::since_unix_epoch(validity.not_after.to_unix_duration());
    if time < not_before {
        return Err(CertificateError::NotValidYetContext { time, not_before });
    }
    if time > not_after {
        return Err(CertificateError::ExpiredContext { time, not_after });
    }
    match content.get_extension::<ExtendedKeyUsage>() {
        Ok(Some((_, usage))) if !usage.0.iter().any(|purpose| FOR_SERVERS.contains(purpose)) => {
            Err(CertificateError::InvalidPurpose)
        }
        Ok(_) => Ok(()),
        Err(_) => Err(CertificateError::BadEncoding),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Signed by itself, an authority, for `gateway.example`.
    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----
MIIBdTCCARqgAwIBAgIUDko099v/C7RCFcgO8PB7DX60zQYwCgYIKoZIzj0EAwIw
EjEQMA4GA1UEAwwHZ2F0ZXdheTAeFw0yNjExMjgyMTU3MjZaFw0zNjExMjUyMTU3
MjZaMBIxEDAOBgNVBAMMB2dhdGV3YXkwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AASzhSuZUTt/fOjetUKrjhdxigRhMd7RhfjKbZWgRYHCJq1v5ckkl76hyyBtRueU
d8I3UQoQkhu3BclydmREm4Rmo04wTDAPBgNVHRMBAf8EBTADAQH/MBoGA1UdEQQT
MBGCD2dhdGV3YXkuZXhhbXBsZTAdBgNVHQ4EFgQUEBT129em+w0s4i5fT4AKiDxf
KnswCgYIKoZIzj0EAwIDSQAwRgIhAPzOfkSNrhpUEqPSrVwCKZaEXrDWS8sjku6c
uLtUC1fIAiEA3yNH/NgQRVSc25jrfX9uKmnnZwlulSmr6YSK2CSohHY=
-----END CERTIFICATE-----";
    const NOT_BEFORE: u64 = 1795903046;
    const NOT_AFTER: u64 = 2111263046;

    #[test]
    fn a_certificate_that_is_trusted_itself_has_its_names_and_its_time() {
        let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let of = |trusted: &[CertificateDer<'static>], name: &'static str, time| {
            let trust = Trust { trusted: trusted.to_vec(), chains: chains.clone() };
            let (name, time) = (ServerName::try_from(name).unwrap(), Duration::from_secs(time));
            trust
                .verify_server_cert(&certificate, &[], &name, &[], UnixTime::since_unix_epoch(time))
                .map(|_| ())
        };
        let itself = std::slice::from_ref(&certificate);
        for time in [NOT_BEFORE, NOT_BEFORE + 1_000_000, NOT_AFTER] {
            assert_eq!(of(itself, "gateway.example", time), Ok(()));
        }
        let wrong = |name, time| match of(itself, name, time) {
            Err(Error::InvalidCertificate(error)) => error,
            other => panic!("{other:?}"),
        };
        for name in ["gateway", "other.example", "10.0.0.1"] {
            assert!(matches!(wrong(name, NOT_AFTER), CertificateError::NotValidForNameContext { .. }));
        }
        assert!(matches!(
            wrong("gateway.example", NOT_BEFORE - 1),
            CertificateError::NotValidYetContext { .. }
        ));
        assert!(matches!(wrong("gateway.example", NOT_AFTER + 1), CertificateError::ExpiredContext { .. }));
        assert!(of(&[], "gateway.example", NOT_AFTER).is_err());
    }
}
