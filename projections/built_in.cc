#include "projections/built_in.h"

namespace tidegate {
namespace {

constexpr BuiltIn kBuiltIns[] = {
    {"_presence", R"(name = "_presence"
description = "Who is connected, and what each is subscribed to and watches"
streams = ["_sys.presence"]
key = "{/connection}"
[on."presence.connected"]
subject = { set = "/subject" }
surface = { set = "/surface" }
since = { set = "time" }
[on."presence.subscribed"]
subscriptions = { merge = "/subscriptions" }
[on."presence.unsubscribed"]
subscriptions = { merge = "/subscriptions" }
[on."presence.watching"]
watches = { merge = "/watches" }
[on."presence.unwatched"]
watches = { merge = "/watches" }
[on."presence.disconnected"]
delete = true
)",
     BuiltIn::Switch::kPresence},
    {"_rates", R"(name = "_rates"
description = "Events and bytes per minute of event time"
streams = [">"]
window = "1m"
[on."*"]
events = { count = true }
bytes = { sum = "bytes" }
)"},
    {"_streams", R"(name = "_streams"
description = "Every stream: its events, bytes, times and last type"
streams = [">"]
key = "{stream}"
[on."*"]
events = { count = true }
bytes = { sum = "bytes" }
first_time = { first = "append_time" }
last_time = { last = "append_time" }
last_type = { last = "type" }
)"},
    {"_types", R"(name = "_types"
description = "Every event type: its events, bytes and last event"
streams = [">"]
key = "{type}"
[on."*"]
events = { count = true }
bytes = { sum = "bytes" }
last_time = { last = "append_time" }
last_stream = { last = "stream" }
)"},
};

}  // namespace

std::span<const BuiltIn> built_in_projections() {
  return kBuiltIns;
}

}  // namespace tidegate
