//! OidcFlows: sign-ins with OpenID providers that have begun and not come back yet.

use actix::prelude::*;

use crate::config::OidcProvider;
use crate::supervision::ChildGuard;

/// See the module's documentation.
pub struct OidcFlows {
    _providers: Vec<OidcProvider>,
    _guard: ChildGuard<&'static str>,
}

impl OidcFlows {
    pub fn new(providers: Vec<OidcProvider>, guard: ChildGuard<&'static str>) -> Self {
        Self { _providers: providers, _guard: guard }
    }
}

impl Actor for OidcFlows {
    type Context = Context<Self>;
}
