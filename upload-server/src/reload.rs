//! Reads again what may have changed while the server runs: the certificate and the key of `--cert` and `--key`, which
//! are renewed every few weeks.

use std::convert::Infallible;

use sd_notify::NotifyState;
use tokio::{sync::Notify, task::spawn_blocking};
use tracing::{debug, info, warn};
use upload_server::{options::Options, server::TlsIdentity};

use crate::bind::certificate;

/// Reloads at each request. What cannot be read stays as it was.
pub(crate) async fn each(
    options: &Options,
    tls: Option<TlsIdentity>,
    requested: &Notify,
) -> Infallible {
    loop {
        requested.notified().await;
        notify(&reloading());
        match (&tls, &options.cert, &options.key) {
            (Some(tls), Some(certificate), Some(key)) => {
                let (certificate, key) = (certificate.clone(), key.clone());
                let read = spawn_blocking(move || certificate::from_files(&certificate, &key));
                match read.await {
                    Ok(Ok(renewed)) => {
                        tls.present(&renewed);
                        info!("new connections get the certificate as it is now");
                    }
                    Ok(Err(error)) => warn!("the certificate stays as it was: {error:#}"),
                    Err(error) => warn!(%error, "the certificate stays as it was"),
                }
            }
            _ => info!("nothing to read again: there is no --cert"),
        }
        notify(&[NotifyState::Ready]);
    }
}

/// `Type=notify-reload` wants the time, too (systemd 253).
fn reloading() -> Vec<NotifyState<'static>> {
    let now = NotifyState::monotonic_usec_now().ok();
    [NotifyState::Reloading].into_iter().chain(now).collect()
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        debug!(%error, "cannot notify systemd");
    }
}
