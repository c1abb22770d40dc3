//! Access control: checked before a request reaches its route.

mod cors;
mod cross_site;
mod headers;
mod host;
mod target;
mod token;
mod wrong_tokens;

use std::{net::IpAddr, sync::Arc};

use axum::{
    Extension,
    extract::{Request, State},
    http::{StatusCode, Version, header::AUTHORIZATION, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};

use self::cors::Grant;
pub use self::{
    cors::{AllowedOrigin, OriginError, Origins},
    host::Hosts,
    token::{Token, TokenError},
};
pub(crate) use self::{
    cross_site::CrossSite,
    target::{Target, host},
    wrong_tokens::WrongTokens,
};
use super::{
    error::Error, forwarded::TrustedProxies, net::connection::RequestContext, page::ASSETS,
};

/// The address for health checks, open to everybody.
pub(crate) const HEALTH: &str = "/healthz";

/// Who may use the server, and for what.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The token that every request must show. Absent where every client may use the server.
    pub token: Option<Token>,
    /// The names of the server.
    pub hosts: Hosts,
    /// The proxies whose reports of clients are believed.
    pub proxies: TrustedProxies,
    /// The other origins whose pages may use the server.
    pub origins: Origins,
    pub offer: Offer,
}

/// What clients may do besides uploading.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// List the files and the uploads.
    pub listing: bool,
    /// Download a file.
    pub download: bool,
    /// Remove a file.
    pub delete: bool,
}

impl Default for Offer {
    fn default() -> Self {
        Self {
            listing: true,
            download: true,
            delete: false,
        }
    }
}

/// The checks around the routes.
pub(crate) struct Guard {
    pub(crate) access: Access,
    pub(crate) wrong_tokens: WrongTokens,
    /// The certificate is publicly trusted, so send HSTS.
    pub(crate) publicly_trusted: bool,
}

/// The guard as a layer around the routes. It also adds the security headers to the answers.
pub(crate) async fn guard(
    State(guard): State<Arc<Guard>>,
    Extension(context): Extension<RequestContext>,
    request: Request,
    next: Next,
) -> Response {
    let host = host(request.uri(), request.headers());
    let strict = guard.publicly_trusted && host.as_ref().is_some_and(host::is_public_name);
    let access = &guard.access;
    let grant = access.origins.grant(request.headers());
    let mut response = match &grant {
        Some(grant) if cors::is_preflight(&request) => {
            cors::preflight(request.headers(), access.token.is_some(), grant)
        }
        grant => {
            let shows_token = shows_token(&request);
            let waited = guard.wait(shows_token, context.client()).await;
            let admit = |()| guard.admit(&request, host.as_ref(), &context, grant.as_ref());
            match waited.and_then(admit) {
                Ok(()) => next.run(request).await,
                Err(error) => error.into_response(),
            }
        }
    };
    access.origins.add(grant.as_ref(), &mut response);
    headers::add(response.headers_mut(), strict);
    response
}

impl Guard {
    /// A client that has shown wrong tokens waits before the next one is looked at.
    async fn wait(&self, shows_token: bool, client: IpAddr) -> Result<(), Error> {
        if shows_token && self.access.token.is_some() {
            self.wrong_tokens.wait(client).await?;
        }
        Ok(())
    }

    fn admit(
        &self,
        request: &Request,
        host: Option<&Authority>,
        context: &RequestContext,
        grant: Option<&Grant>,
    ) -> Result<(), Error> {
        let admitted = self.access.check(request, host, context, grant);
        if matches!(admitted, Err(Error::Unauthorized)) && shows_token(request) {
            self.wrong_tokens.add(context.client());
        }
        admitted
    }
}

fn shows_token(request: &Request) -> bool {
    request.headers().contains_key(AUTHORIZATION)
}

impl Access {
    fn check(
        &self,
        request: &Request,
        host: Option<&Authority>,
        context: &RequestContext,
        grant: Option<&Grant>,
    ) -> Result<(), Error> {
        target::check(request.uri(), request.headers())?;
        if request.uri().path() == HEALTH && request.method().is_safe() {
            return Ok(());
        }
        if host.is_none() && request.version() >= Version::HTTP_11 {
            return Err(Error::Malformed("the header Host is missing".to_owned()));
        }
        let target = Target::of(host, context);
        self.check_names(host, target.as_ref(), context)?;
        let site = cross_site::Site {
            target: target.as_ref(),
            hosts: &self.hosts,
        };
        // Anybody may have the page's parts. With its script, the page shows why an upload is refused.
        let harmless = request.method().is_safe() && request.uri().path().starts_with(ASSETS);
        let own = site.check(request.method(), request.headers(), harmless);
        if cors::is_preflight(request) {
            // It would lack the token in any case.
            return Ok(own?);
        }
        if let Some(token) = &self.token {
            token.check(request.headers())?;
            // A browser adds a password that it has stored by itself, but never a bearer token.
            if own.is_err() && grant == Some(&Grant::ToAny) && !token::is_bearer(request.headers())
            {
                return Err(Error::Protocol {
                    status: StatusCode::FORBIDDEN,
                    detail: "refused: a page of another origin must send the token as bearer token"
                        .to_owned(),
                });
            }
        }
        if grant.is_some() { Ok(()) } else { Ok(own?) }
    }

    /// Another site can point its own name at this machine's address (DNS rebinding): its page then has the
    /// same origin as the server, and may send any field. But it cannot choose the field `Host`. Nor can it know
    /// the token: where there is one, other machines may call the server by any name.
    fn check_names(
        &self,
        host: Option<&Authority>,
        target: Option<&Target>,
        context: &RequestContext,
    ) -> Result<(), Error> {
        let connection = &context.connection;
        let Some(target) = target else {
            return Ok(());
        };
        let from_elsewhere = !connection.local.ip().to_canonical().is_loopback();
        if from_elsewhere && self.token.is_some() {
            return Ok(());
        }
        if !target.is_reported() {
            // No name leads to an address in the place of a name.
            if from_elsewhere && host::is_address(&target.host) {
                return Ok(());
            }
            return self.hosts.check(&target.host, target.field);
        }
        // A browser on this machine could have made the report itself.
        let written = host.filter(|host| !target::is_from_proxy(host, connection));
        if let Some(host) = written.filter(|_| !from_elsewhere) {
            self.hosts.check(host, "Host")?;
        }
        // Where the server was given no names, they are up to the proxy: it is trusted.
        if self.hosts.has_names() {
            self.hosts.check(&target.host, target.field)?;
        }
        Ok(())
    }
}
