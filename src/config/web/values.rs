//! The names of TLS versions, cipher suites, curves and client policies, and which of them are supported.

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// 1.2
    Tls12,
    /// 1.3
    Tls13,
}

impl TlsVersion {
    pub(super) fn named(name: &str) -> Result<TlsVersion, String> {
        match name {
            "TLS12" => Ok(TlsVersion::Tls12),
            "TLS13" => Ok(TlsVersion::Tls13),
            "TLS10" | "TLS11" => {
                Err(format!("TLS version {name} is not available, as it is broken; use TLS12 or TLS13"))
            }
            _ => Err(format!("unknown TLS version: {name}")),
        }
    }
}

/// Which certificate a client must show, with Go's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// `NoClientCert`: none is asked for.
    None,
    /// `RequestClientCert`: asked for, any will do.
    Request,
    /// `RequireAnyClientCert`: there must be one, any will do.
    RequireAny,
    /// `VerifyClientCertIfGiven`: if there is one, an authority must have issued it.
    VerifyIfGiven,
    /// `RequireAndVerifyClientCert`: there must be one that an authority has issued.
    RequireAndVerify,
}

impl ClientAuth {
    pub(super) fn named(name: &str) -> Result<ClientAuth, String> {
        match name {
            "NoClientCert" => Ok(ClientAuth::None),
            "RequestClientCert" => Ok(ClientAuth::Request),
            "RequireAnyClientCert" | "RequireClientCert" => Ok(ClientAuth::RequireAny),
            "VerifyClientCertIfGiven" => Ok(ClientAuth::VerifyIfGiven),
            "RequireAndVerifyClientCert" => Ok(ClientAuth::RequireAndVerify),
            _ => Err(format!("invalid ClientAuth: {name}")),
        }
    }

    /// Whether a client without a certificate is turned away.
    #[must_use]
    pub fn is_required(self) -> bool {
        matches!(self, ClientAuth::RequireAny | ClientAuth::RequireAndVerify)
    }
}

/// A curve of the key exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// `CurveP256`
    P256,
    /// `CurveP384`
    P384,
    /// `X25519`
    X25519,
}

impl Curve {
    pub(super) fn named(name: &str) -> Result<Curve, String> {
        match name {
            "CurveP256" => Ok(Curve::P256),
            "CurveP384" => Ok(Curve::P384),
            "X25519" => Ok(Curve::X25519),
            "CurveP521" | "X25519MLKEM768" => {
                Err(format!("curve {name} is not available; there are X25519, CurveP256 and CurveP384"))
            }
            _ => Err(format!("unknown curve: {name}")),
        }
    }
}

/// The supported suites of Go's `tls.CipherSuites`, for TLS 1.2 and 1.3.
pub const CIPHERS: [&str; 9] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];

/// The suites of Go that are not supported.
const MISSING_CIPHERS: [&str; 4] = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
];

pub(super) fn cipher(name: &str) -> Result<&'static str, String> {
    if let Some(known) = CIPHERS.into_iter().find(|known| *known == name) {
        return Ok(known);
    }
    if MISSING_CIPHERS.contains(&name) {
        return Err(format!(
            "cipher {name} is not available, as CBC mode is weak; use one with GCM or CHACHA20"
        ));
    }
    Err(format!("unknown cipher: {name}"))
}
