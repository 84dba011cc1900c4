//! The permission that a request needs.

use super::super::route::{Endpoint, Route};
use crate::config::access::Permission;

/// The permission for a request. `None` if any login is enough, as for paths that do not exist.
pub(in crate::http) fn needed(route: &Route<'_>, method: &str) -> Option<Permission> {
    let Route::Endpoint(endpoint) = route else { return None };
    match endpoint {
        Endpoint::Group { .. } if method == "DELETE" => Some(Permission::Delete),
        Endpoint::Group { .. } => Some(Permission::Push),
        Endpoint::Metrics
        | Endpoint::Page
        | Endpoint::Static(_)
        | Endpoint::ApiStatus
        | Endpoint::ApiMetrics
        | Endpoint::ApiGroups
        | Endpoint::ApiHealth
        | Endpoint::ApiRefusals
        | Endpoint::ApiGroup { .. }
        | Endpoint::ApiSeries { .. }
        | Endpoint::ApiSources { .. } => Some(Permission::Scrape),
        Endpoint::Quit | Endpoint::Reload | Endpoint::ApiWipe | Endpoint::ApiDelete => {
            Some(Permission::Admin)
        }
        Endpoint::Healthy | Endpoint::Ready => Some(Permission::Health),
    }
}
