//! Checks client certificates.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::{TlsError, pem};
use crate::config::web::{ClientAuth, Pem, Tls};

/// The verifier for client certificates.
pub(super) fn verifier(
    settings: &Tls,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let without_ca = |is_mandatory, takes_any| -> Arc<dyn ClientCertVerifier> {
        let algorithms = provider.signature_verification_algorithms;
        Arc::new(WithoutCa { is_mandatory, takes_any, algorithms })
    };
    let verifier = match (settings.client_auth, &settings.client_ca) {
        (ClientAuth::None, _) => WebPkiClientVerifier::no_client_auth(),
        (ClientAuth::Request, _) => without_ca(false, true),
        (ClientAuth::RequireAny, _) => without_ca(true, true),
        // Go checks against the public authorities then, which issue no client certificates of this kind.
        (ClientAuth::VerifyIfGiven, None) => without_ca(false, false),
        (ClientAuth::RequireAndVerify, None) => without_ca(true, false),
        (ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify, Some(ca)) => {
            let key = match ca {
                Pem::File(_) => "client_ca_file",
                Pem::Inline(_) => "client_ca",
            };
            let problem = |reason: String| TlsError::ClientCa { key, reason };
            let mut roots = RootCertStore::empty();
            for certificate in pem::certificates(&pem::read(ca, key)?).map_err(problem)? {
                roots.add(certificate).map_err(|error| problem(error.to_string()))?;
            }
            let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
            let builder = match settings.client_auth {
                ClientAuth::VerifyIfGiven => builder.allow_unauthenticated(),
                _ => builder,
            };
            builder.build().map_err(|error| problem(error.to_string()))?
        }
    };
    if settings.client_allowed_sans.is_empty() {
        return Ok(verifier);
    }
    Ok(Arc::new(Named { verifier, allowed: settings.client_allowed_sans.clone() }))
}

/// Accepts either any certificate whose key the client has, or none.
#[derive(Debug)]
struct WithoutCa {
    is_mandatory: bool,
    takes_any: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for WithoutCa {
    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.takes_any {
            Ok(ClientCertVerified::assertion())
        } else {
            Err(CertificateError::UnknownIssuer.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Accepts certificates that another verifier accepts, if they are for one of these names.
#[derive(Debug)]
struct Named {
    verifier: Arc<dyn ClientCertVerifier>,
    allowed: Vec<String>,
}

impl ClientCertVerifier for Named {
    fn offer_client_auth(&self) -> bool {
        self.verifier.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        // A client without a certificate has no name to check.
        true
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.verifier.verify_client_cert(end_entity, intermediates, now)?;
        let names = alternative_names(end_entity).ok_or(CertificateError::BadEncoding)?;
        if names.iter().any(|name| self.allowed.contains(name)) {
            return Ok(verified);
        }
        Err(CertificateError::Other(OtherError(Arc::new(NotAllowed))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// A certificate is for none of the allowed names.
#[derive(Debug, thiserror::Error)]
#[error("the certificate has none of client_allowed_sans")]
struct NotAllowed;

/// The DNS names, e-mail addresses, IP addresses and URIs of a certificate, as Go writes them. `None` if it is
/// malformed.
fn alternative_names(certificate: &CertificateDer<'_>) -> Option<Vec<String>> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let Some((_, names)) = certificate.tbs_certificate().get_extension::<SubjectAltName>().ok()? else {
        return Some(Vec::new());
    };
    let names = names.0.iter().filter_map(|name| match name {
        GeneralName::DnsName(name) | GeneralName::Rfc822Name(name) => Some(name.as_str().to_owned()),
        GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str().to_owned()),
        GeneralName::IpAddress(bytes) => address(bytes.as_bytes()),
        _ => None,
    });
    Some(names.collect())
}

fn address(bytes: &[u8]) -> Option<String> {
    let address = match bytes.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => return None,
    };
    // Go treats both forms as the same address.
    Some(address.to_canonical().to_string())
}
