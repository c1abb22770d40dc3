//! Work that blocks (files, the database), kept off the threads that serve connections.

use std::io;

use tokio::task::spawn_blocking;

/// Runs `work` on a thread that may block. It also runs to its end when its caller is dropped.
pub(crate) async fn off_the_runtime<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<io::Error> + Send + 'static,
{
    spawn_blocking(work).await.map_err(io::Error::from)?
}
