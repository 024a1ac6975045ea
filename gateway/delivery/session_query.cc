#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "gateway/delivery/row_messages.h"
#include "gateway/delivery/session_core.h"

namespace tidegate {

namespace {

// How many of the rows one message takes: an answer's batch of bytes, and one at least.
std::size_t rows_that_fit(const std::vector<Row>& rows, std::size_t bytes_max) {
  std::size_t bytes = 0;
  std::size_t fit = 0;
  for (const Row& row : rows) {
    bytes += bytes_of(row);
    if (fit > 0 && bytes > bytes_max) break;
    ++fit;
  }
  return fit;
}

}  // namespace

void SessionCore::on_query(const v1::QueryOp& op) {
  const SessionLimits& limits = loop_.limits;
  const auto refuse_query = [&](const Error& error) { reply_error(error, {}, op.request()); };
  if (Status named = check_id(op.request(), "request", limits); !named) {
    return reply_error(named.error(), {});
  }
  if (Status granted = principal_->check_projection(op.projection()); !granted) {
    return refuse_query(granted.error());
  }
  auto request = check_query(op, limits);
  if (!request) return refuse_query(request.error());
  if (queries_ >= limits.queries_in_flight) {
    return refuse_query({.code = Code::kOverloaded,
                         .message = fmt::format("{} queries of this connection wait already",
                                                limits.queries_in_flight),
                         .retry_after_ms = 100});
  }
  // Others of the subject may have used the budget up.
  if (const std::int64_t wait_ms = principal_->charge_replay(0); wait_ms > kQueryDebtMsMax) {
    return refuse_query(
        {.code = Code::kRateLimited,
         .message = "this subject reads more than it may",
         .retry_after_ms = static_cast<std::uint32_t>(std::min<std::int64_t>(wait_ms, 60'000))});
  }
  ++queries_;
  loop_.projections.query(*std::move(request),
                          [weak = weak_from_this(), name = op.request(),
                           projection = op.projection()](Result<RowPage> page) {
                            const auto self = weak.lock();
                            if (self) self->on_queried(name, projection, std::move(page));
                          });
}

void SessionCore::on_queried(const std::string& request, const std::string& projection,
                             Result<RowPage> page) {
  --queries_;
  if (closed_ || finish_) return;
  // It may have waited for a minute, and the peer have a new token since.
  const Status granted = principal_->check_projection(projection);
  if (!granted || !page) {
    reply_error(granted ? page.error() : granted.error(), {}, request);
    return run();
  }
  principal_->charge_replay(bytes_of(page->rows));
  const std::size_t fit = rows_that_fit(page->rows, loop_.limits.batch_bytes);
  v1::ServerMessage message;
  v1::QueryResult& result = *message.mutable_query_result();
  result.set_request(request);
  result.set_position(page->position.text());
  result.set_version(page->version);
  if (fit < page->rows.size()) {
    result.set_next(page_token_of(page->rows[fit - 1].key));
  } else if (page->next) {
    result.set_next(page_token_of(*page->next));
  }
  for (std::size_t at = 0; at < fit; ++at) put_row(*result.add_rows(), page->rows[at]);
  reply(message);
  run();
}

}  // namespace tidegate
