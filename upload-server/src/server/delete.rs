//! `DELETE /files/NAME`: a stored file is removed.

use axum::{
    extract::State,
    http::{StatusCode, Uri},
};

use super::{download, error::Error, intake::Intake};

/// Removes a stored file: 204.
pub(crate) async fn delete(State(intake): State<Intake>, uri: Uri) -> Result<StatusCode, Error> {
    let name = download::name(&uri)?;
    let removed = intake.store.remove(&name).await;
    removed.map_err(Error::from_lookup)?;
    Ok(StatusCode::NO_CONTENT)
}
