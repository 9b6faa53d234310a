//! The gateway: `/desktop/{proxy_path}/…`, for every method, and for WebSockets.
