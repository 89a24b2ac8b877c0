//! Whom to believe that a server is who it says.

use std::sync::{Arc, OnceLock};

use ureq::tls::{Certificate, RootCerts};

/// The certificate authorities of this system, and those of Mozilla's list in this binary: a machine
/// may have none of its own, and another may be behind a proxy that only it knows. `SSL_CERT_FILE`
/// and `SSL_CERT_DIR` name other places for the system's.
pub(super) fn trusted() -> RootCerts {
    static ROOTS: OnceLock<Arc<Vec<Certificate<'static>>>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        // What of the system's cannot be read is nobody to believe.
        let system = rustls_native_certs::load_native_certs().certs;
        let bundled = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
        let bundled = bundled.map(|certificate| Certificate::from_der(certificate));
        let system = system
            .iter()
            .map(|certificate| Certificate::from_der(certificate).to_owned());
        Arc::new(bundled.chain(system).collect())
    });
    RootCerts::Specific(Arc::clone(roots))
}
