#pragma once

#include <string_view>

namespace tidegate {

class Filter;

// Who keeps which connections there are, and what each reads. What a connection subscribed to and
// watched ends with `disconnected` and is not told one by one.
// Thread: called on I/O loops; must not block.
class Presence {
 public:
  virtual ~Presence() = default;

  // `surface`: as Transport::surface.
  virtual void connected(std::string_view connection, std::string_view subject,
                         std::string_view surface) = 0;
  // Also when the filter of a subscription has changed.
  virtual void subscribed(std::string_view connection, std::string_view id,
                          const Filter& filter) = 0;
  virtual void unsubscribed(std::string_view connection, std::string_view id) = 0;
  virtual void watching(std::string_view connection, std::string_view id,
                        std::string_view projection) = 0;
  virtual void unwatched(std::string_view connection, std::string_view id) = 0;
  virtual void disconnected(std::string_view connection) = 0;
};

}  // namespace tidegate
