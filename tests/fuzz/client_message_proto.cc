// The session protocol in protobuf.

#include <string>

#include <google/protobuf/stubs/logging.h>

#include "eventstore/base/text.h"
#include "gateway/delivery/codec.h"
#include "gateway/delivery/requests.h"
#include "tests/fuzz/target.h"
#include "tidegate/v1/session.pb.h"

// It prints a line for every text that is not UTF-8.
static const bool is_quiet = (google::protobuf::SetLogHandler(nullptr), true);

TIDEGATE_FUZZ_TARGET(client_message_proto) {
  using namespace tidegate;
  ReplyTo reply_to;
  const auto message = decode_client_message(WireForm::kProto, input, reply_to);
  if (!message) {
    fuzz::require(is_valid_utf8(message.error().message), "an error is text");
    return;
  }
  const SessionLimits limits;
  if (message->has_publish()) static_cast<void>(check_publish(message->publish()));
  if (message->has_subscribe()) static_cast<void>(check_subscribe(message->subscribe(), limits));
  if (message->has_query()) static_cast<void>(check_query(message->query(), limits));
  if (message->has_watch()) static_cast<void>(check_watch(message->watch()));
}
