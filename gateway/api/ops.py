"""What operators and their machines ask: is it alive, is it ready, what does it measure."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from gateway.api.deps import Services, services_of
from gateway.metrics.exposition import CONTENT_TYPE, page

router = APIRouter()


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Tell that the process lives; touches neither database nor upstream."""
    return {"status": "ok"}


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", responses={503: {"description": "It should get none."}})
async def readyz(request: Request, response: Response) -> dict[str, object]:
    """Tell whether this replica should get traffic, and if not, why."""
    services: Services = services_of(request)
    reasons = services.not_ready()
    response.status_code = 503 if reasons else 200
    return {
        "ready": not reasons,
        "reasons": reasons,
        "config_hash": services.pipeline.snapshot.config_hash,
        "config_error": services.config_error or services.reload_waits(),
    }


@router.head("/metrics", include_in_schema=False)
@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Return every metric in Prometheus' text format."""
    return Response(page(services_of(request).metrics.registry), media_type=CONTENT_TYPE)
