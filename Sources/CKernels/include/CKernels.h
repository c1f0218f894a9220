#pragma once
#include "NeuralKernels.h"
