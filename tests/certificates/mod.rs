//! Certificates for the tests, made by openssl in a directory of their own.

use std::process::Command;

use crate::programs::{self, output_of};
use crate::support::Directory;

/// A folder with an authority (`ca`) and the certificates that it has issued: NAME.crt and NAME.key.
pub(crate) struct Certificates {
    pub(crate) folder: Directory,
}

/// The extensions for the purposes of a certificate.
const SERVER: &str = "basicConstraints = critical, CA:FALSE\nextendedKeyUsage = serverAuth\n";
const CLIENT: &str = "basicConstraints = critical, CA:FALSE\nextendedKeyUsage = clientAuth\n";

impl Certificates {
    /// Makes an authority, and the certificate `server` for 127.0.0.1. `None` if openssl is missing.
    pub(crate) fn new() -> Option<Certificates> {
        programs::openssl()?;
        let certificates = Certificates { folder: Directory::new() };
        certificates.issue("ca", None, "basicConstraints = critical, CA:TRUE\n");
        certificates.server("server");
        Some(certificates)
    }

    /// A certificate for the server, whose common name is its own.
    pub(crate) fn server(&self, name: &str) {
        self.issue(name, Some("ca"), &format!("{SERVER}subjectAltName = IP:127.0.0.1, DNS:localhost\n"));
    }

    /// A certificate for a client, for these names in openssl's spelling, such as `DNS:a.example`.
    pub(crate) fn client(&self, name: &str, names: &str) {
        self.issue(name, Some("ca"), &format!("{CLIENT}subjectAltName = {names}\n"));
    }

    /// A client certificate from an authority that the gateway does not know.
    pub(crate) fn stranger(&self, name: &str) {
        self.issue(name, None, CLIENT);
    }

    /// A self-signed certificate with these extensions.
    pub(crate) fn own(&self, name: &str, extensions: &str) {
        self.issue(name, None, extensions);
    }

    fn issue(&self, name: &str, by: Option<&str>, extensions: &str) {
        let settings = format!(
            "[req]\ndistinguished_name = subject\nx509_extensions = extensions\nprompt = no\n\
             [subject]\nCN = {name}\n[extensions]\n{extensions}"
        );
        let settings = self.folder.write(&format!("{name}.cnf"), settings);
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-nodes", "-days", "2", "-newkey", "ec", "-pkeyopt"]);
        openssl.args(["ec_paramgen_curve:P-256", "-config", &settings]);
        openssl.args(["-out", &self.path(&format!("{name}.crt"))]);
        openssl.args(["-keyout", &self.path(&format!("{name}.key"))]);
        if let Some(by) = by {
            openssl.args(["-CA", &self.path(&format!("{by}.crt"))]);
            openssl.args(["-CAkey", &self.path(&format!("{by}.key"))]);
        }
        output_of(&mut openssl);
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path_of(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Replaces the server's certificate and key by those with this name. Each is renamed, so neither is ever
    /// incomplete.
    pub(crate) fn install(&self, name: &str) {
        for end in ["key", "crt"] {
            let new = self.folder.write(&format!("new.{end}"), self.read(&format!("{name}.{end}")));
            std::fs::rename(new, self.path(&format!("server.{end}"))).unwrap();
        }
    }

    /// A web configuration with TLS, with these additional lines below `tls_server_config`.
    pub(crate) fn web_config(&self, lines: &str) -> String {
        let text = format!("tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n{lines}");
        format!("--web.config.file={}", self.folder.write("web.yml", text))
    }
}
