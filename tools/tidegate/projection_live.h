#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tidegate/v1/projection_service.pb.h"
#include "tools/tidegate/output.h"
#include "tools/tidegate/projection_rows.h"

namespace tidegate {

// What a terminal of this size shows of the rows: a title of one or more lines, the table, and how
// many lines had no room. Every line ends with a line feed. Thread: any (pure function).
std::string live_frame(const std::vector<v1::ProjectionRow>& rows, const RowView& view,
                       const std::string& title, std::size_t columns, std::size_t lines);

// A table of rows on a terminal that is drawn again as they change, a few times a second. It draws
// on a thread of its own, so that the last change of a burst is shown too, and never in the middle
// of a change: only what is the state at some position.
//
// Nobody else writes to `output` while it lives.
// Thread: caller serialises.
class LiveTable {
 public:
  LiveTable(Output& output, std::string name, RowView view);
  // Leaves the last state on the screen.
  ~LiveTable();
  LiveTable(const LiveTable&) = delete;
  LiveTable& operator=(const LiveTable&) = delete;

  void update(const v1::WatchProjectionResponse& told);
  // Stands in the title until the next update: "reconnecting".
  void note(const std::string& text);
  // Stands in the title until it is set again; empty: none. Thread: any.
  void set_trouble(const std::string& text);

 private:
  void run();
  // Waits until there is something to draw, or the terminal has got another size.
  void wait_for_change(std::unique_lock<std::mutex>& lock);
  std::string title() const;
  void draw(const std::vector<v1::ProjectionRow>& rows, const std::string& title);

  Output& output_;
  const std::string name_;
  const RowView view_;
  std::mutex mutex_;
  std::condition_variable changed_;
  RowMap rows_;
  v1::WatchPlace place_;
  std::string note_;
  std::string trouble_;
  bool is_consistent_ = false;  // `rows_` are those at `place_`
  bool is_dirty_ = false;
  bool is_stopping_ = false;
  // That was drawn for; on the thread.
  std::size_t columns_ = 0;
  std::size_t lines_ = 0;
  std::thread thread_;
};

}  // namespace tidegate
