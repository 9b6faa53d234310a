//! One path of the API and the methods that it takes; any other method is a 405 problem with `Allow`.

use actix_web::dev::HttpServiceFactory;
use actix_web::guard;
use actix_web::http::Method;
use actix_web::{FromRequest, Handler, HttpResponse, Resource, Responder, web};

use crate::error::Error;

/// A path under construction. It remembers its methods: `Allow` and the description of the API need them.
pub struct Place {
    path: String,
    methods: Vec<Method>,
    resource: Resource,
}

impl Place {
    pub fn at(path: &str) -> Self {
        Self { path: path.to_owned(), methods: Vec::new(), resource: web::resource(path) }
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    /// The methods in the order of their registration, without the HEAD that comes with GET.
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }

    /// GET, and HEAD with it.
    pub fn get<F, A>(mut self, handler: F) -> Self
    where
        F: Handler<A>,
        A: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.methods.push(Method::GET);
        let reading = guard::Any(guard::Get()).or(guard::Head());
        self.resource = self.resource.route(web::route().guard(reading).to(handler));
        self
    }

    pub fn post<F, A>(self, handler: F) -> Self
    where
        F: Handler<A>,
        A: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on(Method::POST, handler)
    }

    pub fn put<F, A>(self, handler: F) -> Self
    where
        F: Handler<A>,
        A: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on(Method::PUT, handler)
    }

    pub fn patch<F, A>(self, handler: F) -> Self
    where
        F: Handler<A>,
        A: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on(Method::PATCH, handler)
    }

    pub fn delete<F, A>(self, handler: F) -> Self
    where
        F: Handler<A>,
        A: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on(Method::DELETE, handler)
    }

    fn on<F, A>(mut self, method: Method, handler: F) -> Self
    where
        F: Handler<A>,
        A: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.methods.push(method.clone());
        self.resource = self.resource.route(web::method(method).to(handler));
        self
    }

    /// The finished resource.
    pub fn into_resource(self) -> impl HttpServiceFactory + 'static {
        let allow = self.allow();
        let refuse = move || {
            let allow = allow.clone();
            async move { Err::<HttpResponse, _>(Error::MethodNotAllowed { allow }) }
        };
        self.resource.default_service(web::to(refuse))
    }

    fn allow(&self) -> String {
        let names = self.methods.iter().map(|method| if method == Method::GET { "GET, HEAD" } else { method.as_str() });
        names.collect::<Vec<_>>().join(", ")
    }
}
