/* A stand-in for NVIDIA's NVML with two cards, for tests on machines without one. The first answers all
 * that Crucible asks and uses 3 J between two questions; the second knows its memory only.
 * Names, codes and structures are those of the public nvml.h. */
#include <string.h>

#define SUCCESS 0
#define NOT_SUPPORTED 3
#define CARDS 2

typedef struct { int number; } *device;
static struct { int number; } cards[CARDS] = {{0}, {1}};
typedef struct { unsigned int version; unsigned long long total, reserved, free, used; } memory;
typedef struct { unsigned int gpu, memory; } utilization;

int nvmlInit_v2(void) { return SUCCESS; }
int nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(int code) { return code ? "not supported" : "success"; }
int nvmlDeviceGetCount_v2(unsigned int *count) { *count = CARDS; return SUCCESS; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **card) {
  if (index >= CARDS) return 2;
  *card = &cards[index];
  return SUCCESS;
}
int nvmlDeviceGetMemoryInfo_v2(device card, memory *told) {
  told->reserved = 0;
  told->total = card->number ? 8000000000ULL : 24000000000ULL;
  told->used = card->number ? 1000000000ULL : 6000000000ULL;
  told->free = told->total - told->used;
  return SUCCESS;
}
int nvmlDeviceGetUtilizationRates(device card, utilization *told) {
  if (card->number) return NOT_SUPPORTED;
  told->gpu = 37;
  told->memory = 12;
  return SUCCESS;
}
int nvmlDeviceGetTemperature(device card, int sensor, unsigned int *celsius) {
  if (card->number || sensor) return NOT_SUPPORTED;
  *celsius = 61;
  return SUCCESS;
}
int nvmlDeviceGetPowerUsage(device card, unsigned int *milliwatts) {
  if (card->number) return NOT_SUPPORTED;
  *milliwatts = 215500;
  return SUCCESS;
}
int nvmlDeviceGetTotalEnergyConsumption(device card, unsigned long long *millijoules) {
  static unsigned long long used = 1000000;
  if (card->number) return NOT_SUPPORTED;
  *millijoules = used += 3000;
  return SUCCESS;
}
int nvmlDeviceGetComputeRunningProcesses_v3(device card, unsigned int *count, void *processes) {
  (void)card;
  (void)processes;
  *count = 0;
  return SUCCESS;
}
