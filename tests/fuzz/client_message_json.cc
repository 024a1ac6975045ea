// The session protocol in JSON.

#include <string>

#include "eventstore/base/text.h"
#include "gateway/delivery/codec.h"
#include "tests/fuzz/target.h"
#include "tidegate/v1/session.pb.h"

TIDEGATE_FUZZ_TARGET(client_message_json) {
  using namespace tidegate;
  // A frame reader has checked it.
  if (!is_valid_utf8(input)) return;
  ReplyTo reply_to;
  const auto message = decode_client_message(WireForm::kJson, input, reply_to);
  if (message) return;
  // The answer must be sendable whatever was sent.
  v1::ServerMessage answer;
  answer.mutable_error()->set_id(reply_to.id);
  answer.mutable_error()->set_request(reply_to.request);
  answer.mutable_error()->set_message(message.error().message);
  const std::string text = encode_server_message(WireForm::kJson, answer);
  fuzz::require(is_valid_utf8(text), "an error is text");
}
