"""What a browser is told about the pages, beside their content. Knows header fields, not templates."""

from flask import Response

# Nothing from elsewhere, nothing written into a page, no page of ours inside somebody else's.
PAGE_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "object-src 'self'",
        "frame-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
# OHIF styles itself, makes pictures and files out of blobs, has decoders in WebAssembly, and reads segmentations by a
# library (ndarray) that makes its classes by Function: unsafe-eval. Scripts come from this node all the same.
VIEWER_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'unsafe-eval' blob:",
        "worker-src 'self' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "media-src 'self' blob:",
        "object-src 'self' blob:",
        "frame-src 'self' blob:",
        "manifest-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'self'",
    )
)
# The glue around those decoders is made so, too. It runs in workers, which have the policy of their own script.
WORKER_POLICY = "default-src 'none'; script-src 'self' 'unsafe-eval' blob:; connect-src 'self' data: blob:"


def protect(response: Response, policy: str = PAGE_POLICY) -> Response:
    """Put the header fields on *response* that every page carries."""
    response.headers["Content-Security-Policy"] = policy
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers.setdefault("Cache-Control", "private, no-cache")
    return response
