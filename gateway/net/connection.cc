#include "gateway/net/connection.h"

namespace tidegate {

std::string_view close_reason(CloseCode code) {
  switch (code) {
    case CloseCode::kNormal:
      return "normal";
    case CloseCode::kProtocol:
      return "protocol";
    case CloseCode::kUnsupportedData:
      return "unsupported_data";
    case CloseCode::kBadText:
      return "bad_text";
    case CloseCode::kPolicy:
      return "flood";
    case CloseCode::kTooBig:
      return "too_big";
    case CloseCode::kInternal:
      return "internal";
    case CloseCode::kDrain:
      return "drain";
    case CloseCode::kBadMessage:
      return "bad_message";
    case CloseCode::kUnauthenticated:
      return "unauthenticated";
    case CloseCode::kForbidden:
      return "forbidden";
    case CloseCode::kNoProgress:
      return "no_progress";
    case CloseCode::kRateLimited:
      return "rate_limited";
  }
  return "unknown";
}

}  // namespace tidegate
