//! Sends one request to a gateway on this machine, whose settings are known.
//!
//! The gateway's certificate is for the names by which others reach it. So it is not checked against a name here, but
//! must be the one in the settings.

use std::fmt::{self, Debug};
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme,
    StreamOwned,
};

use super::super::client::{first_line, io_reason, tls_error};
use super::super::connection::TIMEOUT;
use super::super::tls::is_about_client;
use super::SettingsError;
use crate::config::Config;
use crate::config::address::split_host_port;
use crate::config::duration;
use crate::config::web::{Pem, WebConfig, system_reason};
use crate::message::MESSAGE_BYTES;

/// A gateway on this machine.
pub(super) struct Local {
    address: SocketAddr,
    host: String,
    prefix: String,
    tls: Option<Arc<ClientConfig>>,
}

/// The gateway's answer.
pub(super) struct Answer {
    pub(super) status: u16,
    /// The first line of the body.
    pub(super) text: String,
}

impl Local {
    /// The gateway with these settings.
    pub(super) fn of(config: &Config) -> Result<Local, SettingsError> {
        let web = &config.web;
        if web.systemd_socket {
            return Err(SettingsError::NoAddress("systemd has the address of the gateway"));
        }
        let address = web.listen_address.first().and_then(|address| address_of(address));
        let address = address.ok_or(SettingsError::NoAddress("the settings name no address and port"))?;
        let tls =
            if web.config_file.is_empty() { None } else { WebConfig::load(Path::new(&web.config_file))?.tls };
        let host = web.allowed_hosts.first().map_or_else(|| address.to_string(), ToString::to_string);
        let tls = tls.map(|tls| client_config(&tls.cert)).transpose();
        let tls = tls.map_err(SettingsError::Certificate)?;
        Ok(Local { address, host, prefix: web.route_prefix.clone(), tls })
    }

    /// The URL of the gateway.
    pub(super) fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{}", self.address, self.prefix)
    }

    /// Asks for a path below the route prefix.
    pub(super) fn ask(&self, path: &str, login: Option<&str>, timeout: Duration) -> Result<Answer, String> {
        let deadline = Instant::now() + timeout;
        let login = login.map(|login| format!("Authorization: {login}\r\n")).unwrap_or_default();
        let request = format!(
            "GET {}{path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{login}\r\n",
            self.prefix, self.host
        );
        let answer = match self.exchange(request.as_bytes(), deadline) {
            Ok(answer) => answer,
            Err(error) if wants_certificate(&error) => {
                return Ok(Answer { status: 403, text: "the gateway wants a client certificate".to_owned() });
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err(format!("no answer within the {} of {TIMEOUT}", duration::format(timeout)));
            }
            Err(error) => return Err(io_reason(&error)),
        };
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or("the answer is not HTTP")?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        Ok(Answer { status, text: first_line(body) })
    }

    fn exchange(&self, request: &[u8], deadline: Instant) -> io::Result<Vec<u8>> {
        let stream =
            Bounded { stream: TcpStream::connect_timeout(&self.address, left(deadline)?)?, deadline };
        match &self.tls {
            None => converse(stream, request),
            Some(config) => {
                let name = ServerName::from(self.address.ip());
                let connection = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
                converse(StreamOwned::new(connection, stream), request)
            }
        }
    }
}

/// Whether the gateway has refused the connection because of the client certificate.
fn wants_certificate(error: &io::Error) -> bool {
    matches!(tls_error(error), Some(Error::AlertReceived(alert)) if is_about_client(*alert))
}

/// The address at which a listen address is reached from this machine: localhost if it is that of all interfaces.
fn address_of(listen_address: &str) -> Option<SocketAddr> {
    let (host, port) = split_host_port(listen_address).ok()?;
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    let mut address = (host, port).to_socket_addrs().ok()?.next()?;
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    // With port 0 the system picks one that is not known here.
    (port != 0).then_some(address)
}

/// Sends a request and reads the answer until the gateway closes the connection, or there is enough for a message.
fn converse(mut stream: impl Read + Write, request: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(request)?;
    stream.flush()?;
    let mut answer = Vec::new();
    match stream.take(MESSAGE_BYTES as u64).read_to_end(&mut answer) {
        // An error after the answer does not matter, such as a TLS connection that is closed without notice.
        Err(error) if answer.is_empty() => Err(error),
        _ => Ok(answer),
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// A connection with one deadline for all reads and writes.
struct Bounded {
    stream: TcpStream,
    deadline: Instant,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left(self.deadline)?))?;
        self.stream.read(buffer)
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(left(self.deadline)?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn client_config(certificate: &Pem) -> Result<Arc<ClientConfig>, String> {
    let text = match certificate {
        Pem::Inline(text) => text.expose().as_bytes().to_vec(),
        Pem::File(path) => {
            fs::read(path).map_err(|error| format!("{}: {}", path.display(), system_reason(&error)))?
        }
    };
    let certificate = CertificateDer::from_pem_slice(&text).map_err(|_| "there is none in PEM".to_owned())?;
    let provider = Arc::new(ring::default_provider());
    let verifier = Known { certificate, provider: provider.clone() };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Accepts this certificate and no other.
struct Known {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl Debug for Known {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Known").finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *end_entity == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
