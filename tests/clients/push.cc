// One short job with prometheus-cpp, for tests/clients/mod.rs. It counts AMOUNT tasks as ok.
//
// Usage: push add|replace|delete HOST PORT JOB AMOUNT [NAME VALUE]...
//
// The library writes labels into the path as they are, and takes a redirect for success.

#include <prometheus/counter.h>
#include <prometheus/gateway.h>
#include <prometheus/registry.h>

#include <iostream>
#include <memory>
#include <string>

int main(int count, char** arguments) {
  if (count < 6) {
    std::cerr << "too few arguments\n";
    return 2;
  }
  const std::string mode = arguments[1];
  prometheus::Labels labels;
  for (int at = 6; at + 1 < count; at += 2) {
    labels[arguments[at]] = arguments[at + 1];
  }
  prometheus::Gateway gateway(arguments[2], arguments[3], arguments[4], labels);
  auto registry = std::make_shared<prometheus::Registry>();
  auto& tasks =
      prometheus::BuildCounter().Name("tasks_total").Help("Tasks \"done\".").Register(*registry);
  tasks.Add({{"result", "ok"}}).Increment(std::stod(arguments[5]));
  gateway.RegisterCollectable(registry);

  // Push is POST in this library, and PushAdd is PUT.
  int status = 0;
  if (mode == "add") {
    status = gateway.Push();
  } else if (mode == "replace") {
    status = gateway.PushAdd();
  } else if (mode == "delete") {
    status = gateway.Delete();
  }
  std::cout << status << "\n";
  return status >= 200 && status < 400 ? 0 : 1;
}
