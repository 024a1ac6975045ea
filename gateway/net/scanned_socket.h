#pragma once

#include <algorithm>
#include <cstdint>
#include <linux/sockios.h>
#include <string_view>
#include <sys/ioctl.h>
#include <type_traits>
#include <utility>
#include <vector>

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>

#include "eventstore/base/clock.h"
#include "gateway/net/frame_scanner.h"

namespace tidegate {

// The socket under Beast. What it reads it shows to a FrameScanner; after a flood nothing more is
// read, so that the peer's bytes cost nothing while the close frame is on its way. It writes at
// once what the kernel takes, and waits for room without handing its buffers to the reactor, so
// that their bytes may move meanwhile.
//
// Included by websocket.cc alone, which adds what Beast asks for.
// Thread: I/O loop only.
class ScannedSocket {
 public:
  // The executor's concrete type spares the type-erased one, which allocates and calls virtually.
  using Socket = boost::asio::basic_stream_socket<boost::asio::ip::tcp,
                                                  boost::asio::io_context::executor_type>;
  using executor_type = Socket::executor_type;  // Asio's name for it

  // The clock must outlive it.
  ScannedSocket(boost::asio::io_context& context, const Clock& clock)
      : socket_(context.get_executor()), clock_(clock) {}

  executor_type get_executor() { return socket_.get_executor(); }
  Socket& socket() { return socket_; }
  bool is_flooded() const { return is_flooded_; }

  // Asio's AsyncReadStream and AsyncWriteStream, for plain callbacks.
  template <typename Buffers, typename Handler>
  void async_read_some(const Buffers& buffers, Handler&& handler) {
    using Scan = ScanThen<Buffers, std::decay_t<Handler>>;
    if (is_flooded_) {
      socket_.async_wait(Socket::wait_error,
                         FailThen<std::decay_t<Handler>>{std::forward<Handler>(handler)});
      return;
    }
    socket_.async_read_some(buffers, Scan{*this, buffers, std::forward<Handler>(handler)});
  }
  template <typename Buffers, typename Handler>
  void async_write_some(const Buffers& buffers, Handler&& handler) {
    const Written written = write_now(buffers);
    if (written.error != boost::asio::error::would_block) {
      boost::asio::post(get_executor(),
                        [written, handler = std::forward<Handler>(handler)]() mutable {
                          std::move(handler)(written.error, written.bytes);
                        });
      return;
    }
    socket_.async_wait(
        Socket::wait_write,
        WriteThen<std::decay_t<Handler>>{*this, copy_of(buffers), std::forward<Handler>(handler)});
  }

  // The bytes at `from` are now at `to`: also for a write under way, which has not read them yet.
  // Until the next call of `forget_moves`.
  void move_bytes(std::string_view from, const char* to) { moves_.push_back({from, to}); }
  void forget_moves() { moves_.clear(); }

  // Of all that was written, what the peer's kernel has confirmed.
  std::uint64_t confirmed_bytes() {
    int queued = 0;
    if (::ioctl(socket_.native_handle(), SIOCOUTQ, &queued) != 0) return 0;
    return written_bytes_ - static_cast<std::uint64_t>(queued);
  }
  std::uint64_t written_bytes() const { return written_bytes_; }

 private:
  using ErrorCode = boost::system::error_code;

  // Our handlers associate no executor, allocator or cancellation of their own, so the wrappers
  // need not forward any.
  template <typename Buffers, typename Handler>
  struct ScanThen {
    ScannedSocket& stream;
    Buffers buffers;
    Handler handler;

    void operator()(ErrorCode error, std::size_t count) {
      stream.scan(buffers, count);
      std::move(handler)(error, count);
    }
  };
  template <typename Handler>
  struct FailThen {
    Handler handler;

    void operator()(ErrorCode) {
      std::move(handler)(ErrorCode(boost::asio::error::operation_aborted), 0);
    }
  };
  template <typename Handler>
  struct WriteThen {
    ScannedSocket& stream;
    std::vector<boost::asio::const_buffer> buffers;
    Handler handler;

    void operator()(ErrorCode error) {
      Written written{error, 0};
      if (!error) {
        for (boost::asio::const_buffer& buffer : buffers) buffer = stream.moved(buffer);
        written = stream.write_now(buffers);
      }
      if (written.error == boost::asio::error::would_block) {
        stream.socket_.async_wait(Socket::wait_write, std::move(*this));
        return;
      }
      std::move(handler)(written.error, written.bytes);
    }
  };
  struct Written {
    ErrorCode error;
    std::size_t bytes;
  };
  struct Move {
    std::string_view from;
    const char* to;
  };

  template <typename Buffers>
  Written write_now(const Buffers& buffers) {
    Written written = {};
    written.bytes = socket_.write_some(buffers, written.error);
    written_bytes_ += written.bytes;
    return written;
  }

  template <typename Buffers>
  static std::vector<boost::asio::const_buffer> copy_of(const Buffers& buffers) {
    return {boost::asio::buffer_sequence_begin(buffers), boost::asio::buffer_sequence_end(buffers)};
  }

  // A prepared buffer lies within one piece of the message, or is Beast's own.
  boost::asio::const_buffer moved(boost::asio::const_buffer buffer) const {
    const auto* begin = static_cast<const char*>(buffer.data());
    for (const Move& move : moves_) {
      if (begin < move.from.data() || begin >= move.from.data() + move.from.size()) continue;
      return {move.to + (begin - move.from.data()), buffer.size()};
    }
    return buffer;
  }

  template <typename Buffers>
  void scan(const Buffers& buffers, std::size_t count) {
    const std::int64_t now_ms = clock_.steady_ms();
    for (auto at = boost::asio::buffer_sequence_begin(buffers);
         at != boost::asio::buffer_sequence_end(buffers); ++at) {
      const boost::asio::const_buffer buffer = *at;
      const std::size_t here = std::min(count, buffer.size());
      if (!scanner_.scan({static_cast<const char*>(buffer.data()), here}, now_ms))
        is_flooded_ = true;
      count -= here;
    }
  }

  Socket socket_;
  const Clock& clock_;
  FrameScanner scanner_;
  bool is_flooded_ = false;
  std::uint64_t written_bytes_ = 0;
  std::vector<Move> moves_;
};

}  // namespace tidegate
