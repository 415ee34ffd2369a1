//! Owns the API's description: the OpenAPI document that is checked in under `schemas/` and served by the daemon.

use utoipa::openapi::schema::{AdditionalProperties, Schema};
use utoipa::openapi::{self, RefOr};
use utoipa::{Modify, OpenApi, ToSchema as _};

use super::{Asked, server};
use crate::control::restore::Point;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "seawalld",
        description = "The running daemon on its Unix socket `<state>/seawalld.sock`. The socket belongs to the daemon's user; a request of any other user does not arrive. Errors are problem details (RFC 9457) with Seawall's codes."
    ),
    paths(
        server::description,
        server::metrics,
        server::healthz,
        server::readyz,
        server::status,
        server::plans,
        server::plan,
        server::slots,
        server::points,
        server::point,
        server::receipts,
        server::alerts,
        server::look_at_source,
        server::operations,
        server::ask,
        server::operation,
        server::events,
        server::cancel
    ),
    modifiers(&Strict)
)]
struct Description;

/// Says that a request holds nothing but what its kind has, which the derivation does not.
struct Strict;

impl Modify for Strict {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let Some(all) = document.components.as_mut() else {
            return;
        };
        for name in [Asked::name(), Point::name()] {
            let Some(RefOr::T(Schema::OneOf(kinds))) = all.schemas.get_mut(name.as_ref()) else {
                continue;
            };
            for kind in &mut kinds.items {
                if let RefOr::T(Schema::Object(kind)) = kind {
                    let nothing_else = AdditionalProperties::FreeForm(false);
                    kind.additional_properties = Some(Box::new(nothing_else));
                }
            }
        }
    }
}

/// The OpenAPI document.
pub fn document() -> openapi::OpenApi {
    Description::openapi()
}
