#include "gateway/api/message_buffer.h"

#include <array>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/proto_buffer_writer.h>

#include "eventstore/base/check.h"

namespace tidegate {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;

constexpr std::uint32_t kMessageTag =
    WireFormatLite::MakeTag(1, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);

Error bad_message() {
  return {Code::kBadMessage, "the message cannot be parsed"};
}

bool read_message_fields(CodedInputStream& in, std::string& out) {
  while (const std::uint32_t tag = in.ReadTag()) {
    if (tag != kMessageTag) {
      if (!WireFormatLite::SkipField(&in, tag)) return false;
      continue;
    }
    std::uint32_t length = 0;
    std::string piece;
    if (!in.ReadVarint32(&length) || !in.ReadString(&piece, static_cast<int>(length))) return false;
    out = out.empty() ? std::move(piece) : out + piece;
  }
  return in.ConsumedEntireMessage();
}

}  // namespace

Status parse_message(grpc::ByteBuffer& buffer, google::protobuf::Message& message) {
  grpc::ProtoBufferReader reader(&buffer);
  const bool parsed = reader.status().ok() && message.ParseFromZeroCopyStream(&reader);
  buffer.Clear();
  if (!parsed) return bad_message();
  return {};
}

grpc::ByteBuffer serialise_message(const google::protobuf::Message& message) {
  grpc::ByteBuffer out;
  bool own = false;
  const grpc::Status status =
      grpc::GenericSerialize<grpc::ProtoBufferWriter, google::protobuf::Message>(message, &out,
                                                                                 &own);
  TG_CHECK(status.ok(), status.error_message());
  return out;
}

Result<std::string> unwrap_session_message(grpc::ByteBuffer& buffer) {
  grpc::ProtoBufferReader reader(&buffer);
  std::string message;
  const bool parsed = [&] {
    if (!reader.status().ok()) return false;
    CodedInputStream in(&reader);
    return read_message_fields(in, message);
  }();
  buffer.Clear();
  if (!parsed) return bad_message();
  return message;
}

grpc::ByteBuffer wrap_session_message(const std::string& message) {
  std::array<std::uint8_t, 16> head{};
  std::uint8_t* end = CodedOutputStream::WriteTagToArray(kMessageTag, head.data());
  end = CodedOutputStream::WriteVarint32ToArray(static_cast<std::uint32_t>(message.size()), end);
  const std::array<grpc::Slice, 2> slices = {
      grpc::Slice(head.data(), static_cast<std::size_t>(end - head.data())), grpc::Slice(message)};
  return {slices.data(), slices.size()};
}

}  // namespace tidegate
