#pragma once

#include <string>
#include <vector>

namespace tidegate::test {

// A proper request for a WebSocket as lines, so that a test changes one thing:
//
//   client.send(UpgradeRequest{}.replacing("Upgrade", "h2c").bytes());
// Thread: immutable.
struct UpgradeRequest {
  std::string line = "GET /v1/ws HTTP/1.1";
  std::vector<std::string> fields = {"Host: 127.0.0.1", "Upgrade: websocket", "Connection: Upgrade",
                                     "Sec-WebSocket-Version: 13",
                                     "Sec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw=="};
  std::string after = {};

  UpgradeRequest with(const std::string& field) const {
    UpgradeRequest changed = *this;
    changed.fields.push_back(field);
    return changed;
  }
  UpgradeRequest without(const std::string& name) const {
    UpgradeRequest changed = *this;
    std::erase_if(changed.fields,
                  [&name](const std::string& field) { return field.starts_with(name + ":"); });
    return changed;
  }
  UpgradeRequest replacing(const std::string& name, const std::string& value) const {
    return without(name).with(name + ": " + value);
  }
  UpgradeRequest to(const std::string& request_line) const {
    UpgradeRequest changed = *this;
    changed.line = request_line;
    return changed;
  }
  UpgradeRequest followed_by(const std::string& rest) const {
    UpgradeRequest changed = *this;
    changed.after = rest;
    return changed;
  }
  std::string bytes() const {
    std::string text = line + "\r\n";
    for (const std::string& field : fields) text += field + "\r\n";
    return text + "\r\n" + after;
  }
};

}  // namespace tidegate::test
