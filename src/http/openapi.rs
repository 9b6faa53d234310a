//! The API's description, made from the handlers and types themselves.

use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::{IntoResponses, Modify, OpenApi};

use super::problems::TooLarge;

use crate::error::{FieldError, Problem};

/// The OpenAPI document as indented JSON.
pub fn document() -> String {
    // Plain data always serializes; an empty document beats a panic if that ever changes.
    Api::openapi().to_pretty_json().unwrap_or_default()
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Dockway", description = "Container desktops and TCP tunnels behind one door. Scripts send `Authorization: Bearer TOKEN`; `POST /api/tokens` or `dockway admin token create` makes one. Browsers sign in with `POST /api/session` or a provider and send the cookie that they get; a call that changes something must then come from a page of this server (`Sec-Fetch-Site: same-origin` or its `Origin`), with a JSON body or the header `X-Dockway-Csrf: 1`. Errors are `application/problem+json` with a stable `code`."),
    tags(
        (name = "Sign-in", description = "Sessions of browsers, and who one is"),
        (name = "Desktops", description = "Containers that belong to people, each at an address of its own: `/desktop/{proxy_path}`"),
        (name = "Desktop types", description = "Which desktops there are to choose from"),
        (name = "Tunnels", description = "Ports of the server, each relayed to a host and port in an agent's network"),
        (name = "Agents", description = "The programs inside private networks"),
        (name = "Users", description = "Accounts, for administrators"),
        (name = "Tokens", description = "What scripts show instead of a password"),
        (name = "Audit", description = "Who did what, for administrators"),
        (name = "Events", description = "What changes, as it changes"),
        (name = "Health", description = "For load balancers and service managers"),
        (name = "Description", description = "What you are reading"),
    ),
    paths(
        super::session::create, super::session::end, super::session::end_all,
        super::me::show, super::me::change_password,
        super::proxies::create, super::proxies::list, super::proxies::show, super::proxies::change,
        super::proxies::remove, super::proxies::connections, super::proxies::cut,
        super::agents::list, super::agents::enrol, super::agents::show, super::agents::change, super::agents::remove,
        super::agents::rotate, super::agent_socket::connect, super::events::watch,
        super::desktops::list, super::desktops::create, super::desktops::show, super::desktops::remove,
        super::desktops::start, super::desktops::stop, super::desktops::pictures::logs,
        super::desktops::pictures::thumbnail, super::desktop_types::list, super::desktop_types::show,
        super::desktop_types::create, super::desktop_types::replace, super::desktop_types::remove,
        super::users::list, super::users::create, super::users::show, super::users::change, super::users::remove,
        super::tokens::list, super::tokens::create, super::tokens::revoke, super::audit::list,
        super::oidc::list, super::oidc::start, super::oidc::start_linking, super::oidc::unlink, super::oidc::callback,
        super::health::healthy, super::health::ready, super::docs::document,
    ),
    components(schemas(Problem, FieldError)),
    security(("token" = []), ("session" = [])),
    modifiers(&Schemes, &Shield)
)]
struct Api;

/// The two kinds of bearer token, and the cookie.
struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        for (name, text) in [("token", "An API token"), ("agent", "The token of the agent that X-Client-Id names")] {
            let mut scheme = Http::new(HttpAuthScheme::Bearer);
            scheme.description = Some(text.to_owned());
            components.add_security_scheme(name, SecurityScheme::Http(scheme));
        }
        let text = "A browser that signed in; over HTTPS the cookie is called __Host-dockway_session";
        let cookie = ApiKey::Cookie(ApiKeyValue::with_description("dockway_session", text));
        components.add_security_scheme("session", SecurityScheme::ApiKey(cookie));
    }
}

/// What every call may answer before its handler is asked: see [`shield`](super::shield).
struct Shield;

impl Modify for Shield {
    fn modify(&self, document: &mut Document) {
        for item in document.paths.paths.values_mut() {
            let methods = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
            for operation in methods.into_iter().flatten() {
                operation.responses.responses.extend(TooLarge::responses());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use actix_web::http::Method;
    use serde_json::Value;

    use super::*;
    use crate::config::DEFAULT_AGENT_PATH;
    use crate::http::places;
    use crate::http::test_support::TestApi;

    fn parsed() -> Value {
        serde_json::from_str(&document()).unwrap()
    }

    /// `(METHOD, path, operation)` of everything that the document describes.
    fn operations(document: &Value) -> Vec<(String, String, &Value)> {
        let paths = document["paths"].as_object().unwrap().iter();
        let each =
            paths.flat_map(|(path, item)| item.as_object().unwrap().iter().map(move |operation| (path, operation)));
        each.map(|(path, (method, operation))| (method.to_uppercase(), path.clone(), operation)).collect()
    }

    #[test]
    fn every_route_is_described_and_every_description_is_a_route() {
        let document = parsed();
        let described: BTreeSet<_> =
            operations(&document).into_iter().map(|(method, path, _)| (method, path)).collect();
        let registered: BTreeSet<_> = places(DEFAULT_AGENT_PATH)
            .iter()
            // Pages and their parts are for people.
            .filter(|place| {
                place.path() != "/" && !["/api/docs", "/static/"].iter().any(|page| place.path().starts_with(page))
            })
            .flat_map(|place| place.methods().iter().map(|method| (method.to_string(), place.path().to_owned())))
            .collect();
        assert_eq!(described, registered);
    }

    #[test]
    fn every_operation_has_an_id_of_its_own_and_a_summary() {
        let document = parsed();
        let operations = operations(&document);
        let ids: BTreeSet<_> = operations.iter().map(|(_, _, operation)| operation["operationId"].as_str()).collect();
        assert_eq!(ids.len(), operations.len());
        assert!(operations.iter().all(|(_, _, operation)| operation["summary"].is_string()));
    }

    #[actix_web::test]
    async fn what_needs_a_token_says_so_and_has_its_errors_described() {
        let api = TestApi::start().await;
        for (method, path, operation) in operations(&parsed()) {
            if operation["security"] == serde_json::json!([{}]) {
                continue;
            }
            let concrete = path.replace(['{', '}'], "");
            let answer = api.call(method.parse::<Method>().unwrap(), &concrete, "", "").await;
            assert_eq!(answer.status.as_u16(), 401, "{method} {path}");
            for (status, described) in operation["responses"].as_object().unwrap() {
                let content = described["content"].as_object();
                let problem = content.is_some_and(|content| content.contains_key("application/problem+json"));
                assert_eq!(problem, status.as_str() >= "400", "{method} {path} {status}");
            }
            for status in ["401", "503"] {
                assert!(operation["responses"].get(status).is_some(), "{method} {path} {status}");
            }
        }
    }

    #[test]
    fn bodies_are_described_with_their_limits() {
        let document = parsed();
        let create = &document["components"]["schemas"]["CreateTunnelBody"];
        assert_eq!(create["required"], serde_json::json!(["client_id", "remote_host", "remote_port"]));
        assert_eq!(create["additionalProperties"], false);
        let port = &create["properties"]["remote_port"];
        assert_eq!((&port["minimum"], &port["maximum"]), (&1.into(), &65535.into()));
        let patch = &document["components"]["schemas"]["PatchTunnelBody"];
        assert_eq!(patch["properties"]["enabled"]["type"], "boolean");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = parsed();
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
    }
}
