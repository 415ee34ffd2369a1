//! Owns the API's description: the OpenAPI document that is checked in under `schemas/` and served by the daemon.

use utoipa::OpenApi;

use super::server;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "seawalld",
        description = "The running daemon on its Unix socket `<state>/seawalld.sock`. The socket belongs to the daemon's user; a request of any other user does not arrive. Errors are problem details (RFC 9457) with Seawall's codes."
    ),
    paths(
        server::description,
        server::status,
        server::plans,
        server::plan,
        server::slots,
        server::points,
        server::point,
        server::receipts,
        server::look_at_source,
        server::operations,
        server::ask,
        server::operation,
        server::events,
        server::cancel
    )
)]
struct Description;

/// The OpenAPI document.
pub fn document() -> utoipa::openapi::OpenApi {
    Description::openapi()
}
